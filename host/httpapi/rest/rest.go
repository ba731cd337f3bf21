package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// Engine is what the dialect needs.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	Backends() []engine.BackendInfo
	Backend(name string) (engine.BackendInfo, error)
	Restart(ctx context.Context, name string) (engine.BackendInfo, error)
	Load(name string) (running, queued, limit int)
	Previewer
	Executions
}

// Config of the dialect.
type Config struct {
	// Engine that turns go to; required.
	Engine Engine
	// StrictParams makes parameters that would be ignored an error
	// (server.strict_params).
	StrictParams bool
	// Sessions manages what is kept; required.
	Sessions Sessions
	// Media fetches linked images; nil: none are.
	Media *media.Fetcher
	// MaxParallel is how many tasks of a request run at a time when it does not say
	// (parallel.max_workers); 0: 3.
	MaxParallel int
	// FailFast ends the other tasks when one fails and the request does not say
	// (parallel.fail_fast).
	FailFast bool
	// Defaults of prompts that do not say themselves.
	Defaults Defaults
}

// Dialect speaks REST.
type Dialect struct {
	engine   Engine
	config   Config
	requests requests
}

// New makes the dialect.
func New(c Config) *Dialect { return &Dialect{engine: c.Engine, config: c} }

// Name of the dialect.
func (*Dialect) Name() string { return "rest" }

// Prefixes of its paths.
func (*Dialect) Prefixes() []string { return []string{"/api"} }

// WriteError writes problem+json.
func (*Dialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	httpapi.WriteProblem(w, r, err)
}

// Routes of the dialect.
func (d *Dialect) Routes() []httpapi.Route {
	return []httpapi.Route{
		{Method: http.MethodPost, Pattern: "/api/v1/prompt", OperationID: "prompt", Handle: d.prompt},
		{Method: http.MethodPost, Pattern: "/api/v1/parallel", OperationID: "parallel", Handle: d.parallel},
		{Method: http.MethodPost, Pattern: "/api/v1/chain", OperationID: "chain", Handle: d.chain},
		{Method: http.MethodPost, Pattern: "/api/v1/compare", OperationID: "compare", Handle: d.compare},
		{Method: http.MethodGet, Pattern: "/api/v1/sessions", OperationID: "listSessions", Handle: d.listSessions},
		{Method: http.MethodGet, Pattern: "/api/v1/sessions/:id", OperationID: "getSession", Handle: d.getSession},
		{Method: http.MethodPatch, Pattern: "/api/v1/sessions/:id", OperationID: "changeSession", Handle: d.changeSession},
		{Method: http.MethodDelete, Pattern: "/api/v1/sessions/:id", OperationID: "deleteSession", Handle: d.deleteSession},
		{Method: http.MethodGet, Pattern: "/api/v1/backends", OperationID: "listBackends", Handle: d.backends},
		{Method: http.MethodGet, Pattern: "/api/v1/backends/:name", OperationID: "getBackend", Handle: d.backend},
		{Method: http.MethodPost, Pattern: "/api/v1/backends/:name/restart", OperationID: "restartBackend", Handle: d.restart},
		{Method: http.MethodGet, Pattern: "/api/v1/executions", OperationID: "listExecutions", Handle: d.executions},
		{Method: http.MethodGet, Pattern: "/api/v1/executions/:id", OperationID: "getExecution", Handle: d.execution},
		{Method: http.MethodPost, Pattern: "/api/v1/executions/:id/cancel", OperationID: "cancelExecution", Handle: d.cancel},
		{Method: http.MethodPost, Pattern: "/api/v1/requests/:id/cancel", OperationID: "cancelRequest", Handle: d.cancelRequest},
	}
}

// complete adds to a turn what is not in its body. files are those of the request.
func (d *Dialect) complete(r *http.Request, files *media.Files, t *engine.Turn) error {
	httpapi.Sign(r, t, d.Name())
	t.StrictParams = d.config.StrictParams
	d.config.Defaults.fill(t)
	err := files.Complete(r.Context(), t)
	if field, ok := errors.AsType[*wire.Error](err); ok {
		return bad(field.Path, "%v", field)
	}
	return err
}

func (d *Dialect) prompt(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	p := &prompt{}
	if err := read(r, p); err != nil {
		return err
	}
	turn, err := p.turn()
	if err != nil {
		return err
	}
	if turn.Keep, err = p.keep(); err != nil {
		return err
	}
	turn.NoLive = turn.Keep == nil
	if err := d.complete(r, d.config.Media.Files(), turn); err != nil {
		return err
	}
	if p.DryRun || d.config.Defaults.DryRun {
		return d.dryPrompt(w, r, p, turn)
	}
	x, err := d.engine.Execute(r.Context(), turn)
	if err != nil {
		return err
	}
	ignored := ignoredFields(x.Ignored)
	asSSE := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	if !asSSE && (p.OutputFormat == "" || p.OutputFormat == formatDefault) {
		p.OutputFormat = d.config.Defaults.OutputFormat
	}
	switch {
	case p.OutputFormat == formatStream:
		return httpapi.Stream(w, r, x, ignored, &ndjson{events{x: x, verbose: p.Verbose}})
	case asSSE:
		return httpapi.Stream(w, r, x, ignored, &sse{events{x: x, verbose: p.Verbose}})
	}
	answer, err := httpapi.Collect(w, r, x, ignored)
	if err != nil {
		return err
	}
	if p.OutputFormat == formatText {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, err := w.Write([]byte(answer.Text()))
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", answerOf(x, answer, p.Verbose))
	return nil
}

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
}

// Dialect speaks REST.
type Dialect struct {
	engine Engine
	strict bool
	media  *media.Fetcher
}

// New makes the dialect; strict refuses parameters that a backend would ignore, and m,
// which may be nil, fetches linked images.
func New(e Engine, strict bool, m *media.Fetcher) *Dialect {
	return &Dialect{engine: e, strict: strict, media: m}
}

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
		{Method: http.MethodGet, Pattern: "/api/v1/backends", OperationID: "listBackends", Handle: d.backends},
		{Method: http.MethodGet, Pattern: "/api/v1/backends/:name", OperationID: "getBackend", Handle: d.backend},
		{Method: http.MethodPost, Pattern: "/api/v1/backends/:name/restart", OperationID: "restartBackend", Handle: d.restart},
	}
}

func (d *Dialect) prompt(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	body, err := httpapi.ReadBody(r)
	if err != nil {
		return err
	}
	p, err := decodePrompt(body)
	if err != nil {
		return err
	}
	turn, err := p.turn()
	if err != nil {
		return err
	}
	turn.Owner, turn.StrictParams = httpapi.Owner(r), d.strict
	if err := d.media.Complete(r.Context(), turn); err != nil {
		if field, ok := errors.AsType[*wire.Error](err); ok {
			return bad(field.Path, "%v", field)
		}
		return err
	}
	x, err := d.engine.Execute(r.Context(), turn)
	if err != nil {
		return err
	}
	ignored := ignoredFields(x.Ignored)
	switch {
	case p.OutputFormat == formatStream:
		return httpapi.Stream(w, r, x, ignored, &ndjson{events{x: x}})
	case strings.Contains(r.Header.Get("Accept"), "text/event-stream"):
		return httpapi.Stream(w, r, x, ignored, &sse{events{x: x}})
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
	httpapi.WriteJSON(w, http.StatusOK, "application/json", answerOf(x, answer))
	return nil
}

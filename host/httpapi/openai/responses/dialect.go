package responses

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/wire"
	"github.com/clinvk/clinvk/host/store"
)

// Engine is what the dialect needs of the engine.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	Check(t *engine.Turn) (ignored []string, err error)
	CountTokens(ctx context.Context, t *engine.Turn) (engine.TokenCount, error)
}

// Store is what the dialect needs of a store. What an owner asks for and is not there
// is store.ErrNotFound.
type Store interface {
	SaveResponse(ctx context.Context, r *store.Response) error
	RenewResponse(ctx context.Context, id string, lease time.Time) error
	EndResponse(ctx context.Context, r *store.Response) error
	Response(ctx context.Context, owner, id string) (*store.Response, error)
	ResponseChain(ctx context.Context, owner, id string, limit store.ChainLimit) ([]*store.Response, error)
	DeleteResponse(ctx context.Context, owner, id string) error
}

// Config of the dialect.
type Config struct {
	// Engine that turns go to; required.
	Engine Engine
	// Store of responses; nil: there is none, and what needs it is refused.
	Store Store
	// Media fetches linked files; nil: none are.
	Media *media.Fetcher
	// StrictParams makes parameters that would be ignored an error
	// (server.strict_params).
	StrictParams bool
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Dialect is the Responses API. It implements httpapi.Dialect; its methods may be
// called concurrently.
type Dialect struct {
	config Config
	errors openai.Dialect
	runs   *runs
}

// New makes the dialect.
func New(c Config) *Dialect {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dialect{config: c, runs: newRuns()}
}

// With is the same dialect with other settings: what runs and what is kept belong to
// both.
func (d *Dialect) With(m *media.Fetcher, strictParams bool) *Dialect {
	other := *d
	other.config.Media, other.config.StrictParams = m, strictParams
	return &other
}

// Name for logs.
func (*Dialect) Name() string { return "openai-responses" }

// Prefixes of paths whose errors are OpenAI's.
func (d *Dialect) Prefixes() []string { return d.errors.Prefixes() }

// Routes lists what there is.
func (d *Dialect) Routes() []httpapi.Route {
	var out []httpapi.Route
	for _, prefix := range openai.RoutePrefixes() {
		at := prefix + "/responses"
		out = append(out,
			httpapi.Route{Method: http.MethodPost, Pattern: at, OperationID: "createResponse", Handle: d.create},
			httpapi.Route{Method: http.MethodGet, Pattern: at + "/:id", OperationID: "getResponse", Handle: d.get},
			httpapi.Route{Method: http.MethodDelete, Pattern: at + "/:id", OperationID: "deleteResponse", Handle: d.remove},
			httpapi.Route{Method: http.MethodGet, Pattern: at + "/:id/input_items", OperationID: "listResponseInput", Handle: d.listInput},
			httpapi.Route{Method: http.MethodPost, Pattern: at + "/:id/cancel", OperationID: "cancelResponse", Handle: d.cancel},
			httpapi.Route{Method: http.MethodPost, Pattern: at + "/:id", OperationID: "postResponse", Handle: d.post},
		)
	}
	return out
}

// post answers what OpenAI has at the place of an id, which the router cannot tell
// apart.
func (d *Dialect) post(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	switch id := p.ByName("id"); id {
	case "input_tokens":
		return d.countInput(w, r)
	case "compact":
		return httpapi.Errorf(http.StatusNotImplemented, "clinvk does not offer /responses/%s", id)
	}
	w.Header().Set("Allow", "DELETE, GET, HEAD")
	return httpapi.Errorf(http.StatusMethodNotAllowed, "a response takes GET and DELETE")
}

// countInput tells how many tokens a request would send.
func (d *Dialect) countInput(w http.ResponseWriter, r *http.Request) error {
	q, err := d.read(r)
	if err != nil {
		return err
	}
	n, err := d.config.Engine.CountTokens(r.Context(), &q.turn)
	if err != nil {
		return err
	}
	httpapi.BeginCount(w, r, n, q.words(nil))
	b := wire.AppendInt(nil, `{"object":"response.input_tokens","input_tokens":`, n.Input)
	wire.Write(w, http.StatusOK, append(b, '}'))
	return nil
}

// WriteError writes err as OpenAI's envelope.
func (d *Dialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := errors.AsType[*errPrevious](err); ok {
		wire.Write(w, http.StatusBadRequest, openai.AppendError(nil, "previous_response_not_found", "previous_response_id", e.Error()))
		return
	}
	d.errors.WriteError(w, r, err)
}

// needStore refuses what cannot be done without a store.
func (d *Dialect) needStore(what string) error {
	if d.config.Store == nil {
		return engine.Errorf(engine.CodeUnavailable, "%s needs the server's store, which could not be opened; its log says why", what)
	}
	return nil
}

// create answers POST /responses.
func (d *Dialect) create(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q, err := d.read(r)
	if err != nil {
		return err
	}
	if q.background {
		return d.begin(w, r, q)
	}
	x, err := d.config.Engine.Execute(r.Context(), &q.turn)
	if err != nil {
		return err
	}
	defer x.Close()
	record, err := newRecord(q, responseID(x.ID), x.Model)
	if err != nil {
		return err
	}
	kept := d.config.Store != nil && (q.store == nil || *q.store)
	e := newEncoder(q, record, kept)
	if kept {
		e.ended = func(record *store.Response) { d.save(r.Context(), record) }
	}
	ignored := q.words(x.Ignored)
	if q.stream {
		return httpapi.Stream(w, r, x, ignored, e)
	}
	answer, err := httpapi.Collect(w, r, x, ignored)
	if err != nil {
		return err
	}
	e.answer(answer)
	wire.Write(w, http.StatusOK, appendObject(nil, record, kept))
	return nil
}

// answer takes a whole answer in, as the events of a stream.
func (e *encoder) answer(a *engine.Answer) {
	e.Begin(nil)
	for i, part := range a.Parts {
		switch p := part.(type) {
		case engine.Text:
			e.Event(nil, &engine.TextDelta{Block: i, Text: string(p)})
		case engine.Reasoning:
			e.Event(nil, &engine.ReasoningDelta{Block: i, Text: p.Text, Signature: p.Signature, Redacted: p.Redacted})
		case engine.ToolCall:
			e.Event(nil, &engine.ToolCallStarted{Block: i, ID: p.ID, Name: p.Name, Client: true})
			e.Event(nil, &engine.ToolCallDone{ToolCall: p, Client: true})
		}
	}
	e.Event(nil, &a.Completed)
}

// save keeps a response that is over, also when its client is gone. A failure costs
// only that it cannot be continued.
func (d *Dialect) save(ctx context.Context, record *store.Response) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := d.config.Store.SaveResponse(ctx, record); err != nil {
		d.config.Logger.Error("a response was not kept", "response", record.ID, "error", err)
	}
}

// finish is save for a response in the background. One that is not there any more, or
// is over, was deleted or cancelled by another process, and stays so.
func (d *Dialect) finish(ctx context.Context, record *store.Response) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := d.config.Store.EndResponse(ctx, record); err != nil && !errors.Is(err, store.ErrNotFound) {
		d.config.Logger.Error("a response was not kept", "response", record.ID, "error", err)
	}
}

// saveTime bounds the wait for the store, which may be another process's turn.
const saveTime = 15 * time.Second

// read decodes a request with the conversation that it continues.
func (d *Dialect) read(r *http.Request) (*request, error) {
	body, err := httpapi.ReadBody(r)
	if err != nil {
		return nil, err
	}
	q, err := decode(body)
	if err != nil {
		return nil, err
	}
	httpapi.Sign(r, &q.turn, d.Name())
	if err := httpapi.ModeOf(r, &q.turn); err != nil {
		return nil, err
	}
	if q.turn.Keep != nil && q.previous != "" {
		return nil, &wire.Error{Path: "previous_response_id", Problem: "cannot be used in a session (X-Clinvk-Session), which has its own history"}
	}
	if q.background || q.store != nil && *q.store {
		if err := d.needStore("store and background"); err != nil {
			return nil, err
		}
	}
	past := d.newPast(q.turn.Owner)
	items, err := past.before(r.Context(), q.previous)
	if err != nil {
		return nil, err
	}
	if err := q.converse(items, func(id string) (json.RawMessage, error) { return past.item(r.Context(), id) }); err != nil {
		return nil, err
	}
	if err := httpapi.Strict(&q.turn, d.config.StrictParams, q.ignored, q.unknown); err != nil {
		return nil, err
	}
	return q, d.config.Media.Complete(r.Context(), &q.turn)
}

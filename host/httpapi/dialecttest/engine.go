package dialecttest

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/meta"
)

// Engine answers every turn with the same events.
type Engine struct {
	Events []engine.Event
	// Failure ends the turn after the events; nil: they end with *Completed.
	Failure error
	// Refusal is what Execute returns; nil: it runs.
	Refusal error
	// Ignored fields of every execution.
	Ignored []string
	// Count is what CountTokens returns.
	Count engine.TokenCount

	mu   sync.Mutex
	turn *engine.Turn
}

// Execute plays the events.
func (e *Engine) Execute(_ context.Context, t *engine.Turn) (*engine.Execution, error) {
	e.mu.Lock()
	e.turn = t
	e.mu.Unlock()
	if e.Refusal != nil {
		return nil, e.Refusal
	}
	x := engine.Replay("turn_0123456789abcdef", "echo", t.Model, Source(e.Events, e.Failure))
	x.Ignored = e.Ignored
	return x, nil
}

// CountTokens returns Count, or fails with Refusal.
func (e *Engine) CountTokens(_ context.Context, t *engine.Turn) (engine.TokenCount, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn = t
	return e.Count, e.Refusal
}

// Turn is the last turn that was executed or counted.
func (e *Engine) Turn() *engine.Turn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.turn
}

// Source plays events for engine.Replay.
func Source(events []engine.Event, failure error) func() (engine.Event, error) {
	i := 0
	return func() (engine.Event, error) {
		if i < len(events) {
			i++
			return events[i-1], nil
		}
		if failure != nil {
			return nil, failure
		}
		return nil, io.EOF
	}
}

// Created is when the model echo/known was created.
var Created = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

// Models lists three: one of which all is known, and two of which little is.
func (*Engine) Models() []engine.Model {
	return []engine.Model{
		{ID: "alias"},
		{ID: "echo", Title: "Echo", Backend: "echo"},
		{ID: "echo/known", Title: "Known", Backend: "echo", Created: Created, ContextWindow: 1000, MaxOutputTokens: 100},
	}
}

// Model finds one of Models.
func (e *Engine) Model(id string) (engine.Model, error) {
	for _, m := range e.Models() {
		if m.ID == id {
			return m, nil
		}
	}
	return engine.Model{}, engine.Errorf(engine.CodeModelNotFound, "the model %q does not exist", id)
}

// Backends lists none.
func (*Engine) Backends() []engine.BackendInfo { return nil }

// Serve serves one dialect until the test ends.
func Serve(t testing.TB, d httpapi.Dialect) *httptest.Server {
	t.Helper()
	s, err := httpapi.NewServer(httpapi.Config{Dialects: []httpapi.Dialect{d}, Fallback: meta.New(meta.Config{Engine: &Engine{}})})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.Handler(s))
	t.Cleanup(server.Close)
	return server
}

// Preview knows nothing of the command.
func (e *Engine) Preview(_ context.Context, t *engine.Turn) (*engine.Preview, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn = t
	return &engine.Preview{Backend: "echo", Model: t.Model, Mode: t.WantedMode(), Ignored: e.Ignored}, e.Refusal
}

// Executions has none.
func (*Engine) Executions(string, engine.Filter) []engine.Record { return nil }

// Execution finds none.
func (*Engine) Execution(_, id string) (engine.Record, error) {
	return engine.Record{}, engine.Errorf(engine.CodeNotFound, "there is no execution %q", id)
}

// Cancel finds none.
func (e *Engine) Cancel(_ context.Context, owner, id string) (engine.Record, error) {
	return e.Execution(owner, id)
}

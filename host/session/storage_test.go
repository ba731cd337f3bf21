package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store"
)

// failing is a store that fails for a time.
type failing struct {
	session.Store
	lease, draft, turn error
}

func (f *failing) Lease(ctx context.Context, owner, id string) (func(), error) {
	if f.lease != nil {
		return nil, f.lease
	}
	return f.Store.Lease(ctx, owner, id)
}

func (f *failing) DraftSession(ctx context.Context, s *store.Session) (func(), error) {
	if f.draft != nil {
		return nil, f.draft
	}
	return f.Store.DraftSession(ctx, s)
}

func (f *failing) AppendTurn(ctx context.Context, owner, id string, a store.Append) (int, error) {
	if f.turn != nil {
		return 0, f.turn
	}
	return f.Store.AppendTurn(ctx, owner, id, a)
}

// TestUnsaved: the error says what failed and what to do, and no path of the server.
func TestUnsaved(t *testing.T) {
	full := fmt.Errorf("writing /secret: %w", store.ErrFull)
	for _, tt := range []struct {
		name        string
		draft, turn error
		ran         int
		want        string
	}{
		{"full at the beginning", full, nil, 0, "the disk is full; free some space"},
		{"full at the end", nil, full, 1, "the disk is full; free some space"},
		{"read-only", fmt.Errorf("writing /secret: %w", store.ErrUnwritable), nil, 0, "cannot be written"},
		{"something else", nil, errors.New("/secret is odd"), 1, "the log of the server says why"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &failing{draft: tt.draft, turn: tt.turn}
			w := newWorld(t, func(c *session.Config) { f.Store, c.Store = c.Store, f })
			_, _, err := w.run(t, ask("one", engine.Keep{ID: "s", Create: true}))
			e, ok := errors.AsType[*engine.Error](err)
			if !ok || e.Code != engine.CodeStorage || e.Retryable || !strings.Contains(e.Message, tt.want) || !strings.Contains(e.Message, "ephemeral") {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "/secret") || len(w.turns) != tt.ran {
				t.Errorf("%d turns ran: %v", len(w.turns), err)
			}
			f.draft, f.turn = nil, nil
			if _, text := w.must(t, ask("one", engine.Keep{ID: "s", Create: true})); text != "answer to 1" {
				t.Errorf("with room it answers %s", text)
			}
		})
	}
}

// TestUnsavedTurn: what the backend remembers of a turn that its client was told has
// failed counts no more.
func TestUnsavedTurn(t *testing.T) {
	f := &failing{}
	w := newWorld(t, func(c *session.Config) { f.Store, c.Store = c.Store, f })
	id, _ := w.must(t, ask("one", engine.Keep{}))
	f.turn = store.ErrFull
	_, _, err := w.run(t, ask("two", engine.Keep{ID: id}))
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Usage == nil {
		t.Errorf("what it cost is not told: %v", err)
	}
	f.turn = nil
	if s, _, err := w.Session(t.Context(), "", id); err != nil || s.Status != session.StatusError || s.Turns != 1 {
		t.Errorf("the session is %+v, %v", s, err)
	}
	w.must(t, ask("three", engine.Keep{ID: id}))
	if got := w.last().Session; got.Token != nil || got.Held != 2 {
		t.Errorf("it goes on with %+v", got)
	}
	if got := strings.Join(w.forgotten(t), ", "); got != "a token 1, a token 2" {
		t.Errorf("forgotten: %s", got)
	}
}

// TestUnsavedRest: so it is when what there was of a failed turn could not be written. Of a
// first turn nothing is left.
func TestUnsavedRest(t *testing.T) {
	f := &failing{}
	w, home := homed(t, func(c *session.Config) { f.Store, c.Store = c.Store, f })
	id, _ := w.must(t, ask("one", engine.Keep{}))
	f.turn = store.ErrFull
	w.answer = func(*engine.Turn) ([]engine.Event, error) {
		return []engine.Event{&engine.Started{}, &engine.TextDelta{Text: "half"}}, engine.Errorf(engine.CodeOverloaded, "no")
	}
	for _, keep := range []engine.Keep{{ID: id}, {ID: "new", Create: true}, {ID: id, Fork: true}} {
		_, _, err := w.run(t, ask("two", keep))
		if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeOverloaded {
			t.Errorf("%+v ends with %v", keep, err)
		}
	}
	f.turn, w.answer = nil, w.echo
	page, err := w.Sessions(t.Context(), "", store.Filter{})
	if names := left(t, home); err != nil || page.Total != 1 || len(names) != 1 {
		t.Errorf("left are %d sessions and %v, %v", page.Total, names, err)
	}
	w.must(t, ask("three", engine.Keep{ID: id}))
	if got := w.last().Session; got.Token != nil {
		t.Errorf("it goes on with %q", got.Token)
	}
}

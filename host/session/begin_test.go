package session_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store"
	"github.com/clinvk/clinvk/host/store/sqlite"
)

// conflict checks that a turn was refused because its session has one.
func conflict(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeConflict || !strings.Contains(e.Message, "has a turn under way") {
		t.Errorf("it ends with %v", err)
	}
}

// beside is a second process with the same store.
func (w *world) beside(t *testing.T, path string) *world {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	f := &fake{}
	f.answer = f.echo
	return &world{f, session.New(session.Config{Engine: f, Store: s}), s, path}
}

// TestFirstTurnIsTheOnlyOne: a second request for a session that is just being made is
// refused before it costs anything, whoever it comes to.
func TestFirstTurnIsTheOnlyOne(t *testing.T) {
	w := newWorld(t)
	other := w.beside(t, w.path)
	named := engine.Keep{ID: "new", Create: true}
	x, err := w.Keeper.Execute(t.Context(), ask("one", named))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for name, second := range map[string]*world{"the same server": w, "another process": other} {
		ran := len(second.turns)
		_, _, err := second.run(t, ask("two", named))
		conflict(t, err)
		_, _, err = second.run(t, ask("two", engine.Keep{ID: "new"}))
		conflict(t, err)
		if len(second.turns) != ran {
			t.Errorf("%s has run a turn that was refused", name)
		}
	}
	if a, err := engine.Collect(x); err != nil || a.Text() != "answer to 1" {
		t.Errorf("the first one: %v, %v", a, err)
	}
	if _, text := other.must(t, ask("two", named)); text != "answer to 3" {
		t.Errorf("afterwards: %s", text)
	}
}

// TestFirstTurnFails: its session is none, and its name is free.
func TestFirstTurnFails(t *testing.T) {
	failure := engine.Errorf(engine.CodeOverloaded, "overloaded")
	for name, events := range map[string][]engine.Event{"refused": nil, "at once": {&engine.Started{}}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			other := w.beside(t, w.path)
			named := engine.Keep{ID: "new", Create: true}
			w.answer = func(*engine.Turn) ([]engine.Event, error) { return events, failure }
			if _, _, err := w.run(t, ask("one", named)); err == nil {
				t.Fatal("it worked")
			}
			if page, err := w.Sessions(t.Context(), "", store.Filter{}); err != nil || page.Total != 0 {
				t.Errorf("%d sessions are left, %v", page.Total, err)
			}
			if _, text := other.must(t, ask("one", named)); text != "answer to 1" {
				t.Errorf("the next one: %s", text)
			}
		})
	}
}

// TestUnknownModel: a turn that goes nowhere begins no session.
func TestUnknownModel(t *testing.T) {
	w := newWorld(t)
	turn := ask("one", engine.Keep{ID: "new", Create: true})
	turn.Model = "nowhere"
	if _, _, err := w.run(t, turn); err == nil {
		t.Error("it worked")
	}
	if page, err := w.Sessions(t.Context(), "", store.Filter{}); err != nil || page.Total != 0 {
		t.Errorf("%d sessions are left, %v", page.Total, err)
	}
}

// TestCrash: a process ends in the first turn of a new session, of a branch, and in a
// later one. The first two are no sessions, and the backend's own part of the third
// counts no more: it may hold what nobody has seen.
func TestCrash(t *testing.T) {
	w := newWorld(t)
	dying := w.beside(t, w.path)
	id, _ := dying.must(t, ask("one", engine.Keep{}))
	for _, keep := range []engine.Keep{{ID: "new", Create: true}, {ID: id, Fork: true}, {ID: id}} {
		if _, err := dying.Keeper.Execute(t.Context(), ask("two", keep)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dying.store.Close(); err != nil { // as the system closes its files
		t.Fatal(err)
	}
	w.Tidy(t.Context())
	page, err := w.Sessions(t.Context(), "", store.Filter{})
	if err != nil || page.Total != 1 || page.Sessions[0].ID != id || page.Sessions[0].Turns != 1 {
		t.Errorf("left are %+v, %v", page.Sessions, err)
	}
	w.must(t, ask("other", engine.Keep{})) // the same token would be the same session
	w.must(t, ask("three", engine.Keep{ID: id}))
	if got := w.last().Session; got.Token != nil {
		t.Errorf("it goes on with %q", got.Token)
	}
	w.must(t, ask("four", engine.Keep{ID: id}))
	if got := w.forgotten(t); !slices.Equal(got, []string{"a token 1"}) {
		t.Errorf("forgotten: %q", got)
	}
	if got := w.last().Session; got.Token == nil {
		t.Error("the new one is not used")
	}
}

// TestGoneMeanwhile: a session whose first turn fails between a look at it and the attempt
// to take it was busy, and not unknown.
func TestGoneMeanwhile(t *testing.T) {
	f := &failing{}
	w := newWorld(t, func(c *session.Config) { f.Store, c.Store = c.Store, f })
	named := engine.Keep{ID: "new", Create: true}
	w.must(t, ask("one", named))
	f.lease = store.ErrNotFound
	_, _, err := w.run(t, ask("two", named))
	conflict(t, err)
}

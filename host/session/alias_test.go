package session_test

import (
	"testing"

	"github.com/clinvk/clinvk/host/engine"
)

// TestAlias: what an alias has decided for the first turn is the session's, also when
// there is no such alias any longer; what a later request says itself wins.
func TestAlias(t *testing.T) {
	w := newWorld(t)
	first := ask("one", engine.Keep{})
	first.Model, first.DefaultMode = "fixer", engine.ModeChat
	id, _ := w.must(t, first)
	is := func(when, mode, dir string) {
		t.Helper()
		s, _, err := w.Session(t.Context(), "", id)
		if err != nil || s.Mode != mode || s.WorkingDir != dir || s.Backend != "b" {
			t.Errorf("%s it is %+v, %v", when, s, err)
		}
	}
	next := func(change func(turn *engine.Turn)) {
		t.Helper()
		turn := ask("two", engine.Keep{ID: id})
		turn.DefaultMode = engine.ModeChat
		change(turn)
		w.must(t, turn)
	}
	is("begun", "agent", "/pinned")
	next(func(*engine.Turn) {})
	is("continued", "agent", "/pinned")
	next(func(turn *engine.Turn) { turn.WorkingDir = "/own" })
	is("with a directory", "agent", "/own")
	next(func(turn *engine.Turn) { turn.Mode = engine.ModeChat })
	is("with a mode", "chat", "/own")
	next(func(turn *engine.Turn) { turn.Model = "fixer" })
	is("with the alias once more", "agent", "/pinned")
	w.gone = true
	next(func(*engine.Turn) {})
	is("without the alias", "agent", "/pinned")
	if turn := w.last(); turn.Model != "" || turn.Backend != "b" {
		t.Errorf("it went to %q of %q", turn.Model, turn.Backend)
	}
}

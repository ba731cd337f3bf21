package session_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// to is a turn of a session with a backend.
func to(backend, id string) *engine.Turn {
	turn := ask("hi", engine.Keep{ID: id, Create: true})
	turn.Backend = backend
	return turn
}

// TestForgettingDelaysNoAnswer: an answer, and what comes after it, does not wait for
// the backend that has to forget. Only the turn that returns to that backend does.
func TestForgettingDelaysNoAnswer(t *testing.T) {
	w := newWorld(t)
	w.slow = make(chan struct{})
	for _, backend := range []string{"a", "b", "b"} {
		w.must(t, to(backend, "s"))
	}
	w.must(t, to("a", "another"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.visited = cancel // after which only the wait asks for the context
	asked := len(w.turns)
	_, err := w.Keeper.Execute(ctx, to("a", "s"))
	if e := engine.AsError(err); e == nil || e.Code != engine.CodeCanceled || len(w.turns) != asked {
		t.Errorf("it did not wait: %v, %d turns more", err, len(w.turns)-asked)
	}

	w.visited = nil
	w.answer = func(turn *engine.Turn) ([]engine.Event, error) { // which holds mu
		if !slices.Equal(w.deleted, []string{"a token 1"}) {
			t.Errorf("the turn began when a had forgotten %q", w.deleted)
		}
		return w.echo(turn)
	}
	go close(w.slow)
	w.must(t, to("a", "s"))
}

// TestSameTokenStays: a backend that names two sessions alike is not asked to forget the
// one that counts.
func TestSameTokenStays(t *testing.T) {
	w := newWorld(t)
	w.bound = true
	w.answer = func(turn *engine.Turn) ([]engine.Event, error) {
		events, err := w.echo(turn)
		events[len(events)-1].(*engine.Completed).SessionToken = []byte("always")
		return events, err
	}
	for _, dir := range []string{"/x", "/y"} {
		turn := to("a", "s")
		turn.WorkingDir = dir
		w.must(t, turn)
	}
	if got := w.forgotten(t); got != nil {
		t.Errorf("forgotten: %q", got)
	}
}

// TestStop: the keeper waits for backends that forget as long as it may, and takes
// nothing more on.
func TestStop(t *testing.T) {
	for _, patient := range []bool{true, false} {
		w := newWorld(t)
		w.slow = make(chan struct{})
		w.must(t, to("a", "s"))
		w.must(t, to("b", "s"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var want []string
		if patient {
			want = []string{"a token 1"}
			go close(w.slow)
		} else {
			cancel()
		}
		w.Stop(ctx)
		if diff := cmp.Diff(want, w.deleted); diff != "" {
			t.Errorf("patient %v: %s", patient, diff)
		}
		w.must(t, to("a", "s"))
		if diff := cmp.Diff(want, w.forgotten(t)); diff != "" {
			t.Errorf("patient %v, after the stop: %s", patient, diff)
		}
	}
}

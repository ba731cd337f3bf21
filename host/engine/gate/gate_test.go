package gate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clinvk/clinvk/host/engine/gate"
)

// never is a backend without pressure.
func never() (reason string, changed <-chan struct{}) { return "", nil }

// fixed are limits that do not change.
func fixed(l gate.Limits) func() gate.Limits { return func() gate.Limits { return l } }

// TestGateKeepsUpWithThePlugin shows that a plugin that was replaced by one with
// other limits is not given more turns than it takes, and not fewer.
func TestGateKeepsUpWithThePlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(gate.Config{Backend: "b", Pressure: never, Limits: fixed(gate.Limits{MaxConcurrent: 4})})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave := make(chan func(), 20)
		enter := func(plugin int) {
			go func() {
				l, err := g.Enter(ctx, plugin)
				if err == nil {
					leave <- l
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}()
			synctest.Wait()
		}
		want := func(running, queued int) {
			t.Helper()
			synctest.Wait()
			if r, q, _ := g.Load(0); r != running || q != queued {
				t.Fatalf("%d run and %d wait, want %d and %d", r, q, running, queued)
			}
		}
		for range 6 {
			enter(0)
		}
		want(4, 2)
		enter(2) // the new plugin takes two
		want(4, 3)
		(<-leave)()
		(<-leave)()
		want(2, 3)
		(<-leave)()
		want(2, 2)
		enter(3) // and the next one three
		want(3, 2)
		(<-leave)()
		want(3, 1)
		(<-leave)()
		(<-leave)()
		want(2, 0)
		(<-leave)()
		(<-leave)()
		want(0, 0)
	})
}

// TestGateForgetsWhoGaveUp shows that a turn that waited in vain leaves no place
// taken.
func TestGateForgetsWhoGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate.New(gate.Config{Backend: "b", Pressure: never, Limits: fixed(gate.Limits{MaxConcurrent: 1, QueueTimeout: time.Second})})
		leave, err := g.Enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.Enter(t.Context(), 0)
		if busy, ok := errors.AsType[*gate.Busy](err); !ok || busy.Full || busy.RetryAfter != time.Second {
			t.Fatalf("err = %v", err)
		}
		leave()
		if running, queued, _ := g.Load(0); running+queued != 0 {
			t.Fatalf("%d run and %d wait", running, queued)
		}
	})
}

// TestGateTakesNewLimits: those that wait are let in when there may be more, and nobody
// is thrown out when there may be fewer.
func TestGateTakesNewLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := gate.Limits{MaxConcurrent: 1}
		g := gate.New(gate.Config{Backend: "b", Pressure: never, Limits: func() gate.Limits { return limits }})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave := make(chan func(), 4)
		for range 4 {
			go func() {
				if l, err := g.Enter(ctx, 3); err == nil {
					leave <- l
				}
			}()
			synctest.Wait()
		}
		want := func(running, queued int) {
			t.Helper()
			synctest.Wait()
			if r, q, _ := g.Load(0); r != running || q != queued {
				t.Fatalf("%d run and %d wait, want %d and %d", r, q, running, queued)
			}
		}
		want(1, 3)
		limits.MaxConcurrent = 10 // the plugin takes three
		g.Retune()
		want(3, 1)
		limits.MaxConcurrent = 1
		g.Retune()
		want(3, 1)
		(<-leave)()
		(<-leave)()
		want(1, 1)
		(<-leave)()
		want(1, 0)
		(<-leave)()
		want(0, 0)
	})
}

// TestGateSaysWhyItIsFull, and that pressure is the reason when there is some.
func TestGateSaysWhyItIsFull(t *testing.T) {
	for _, tt := range []struct{ pressure, want string }{
		{"", "backend b is busy: 1 turns run and 0 wait"},
		{"b uses too much", "b uses too much, and 0 turns wait"},
	} {
		pressure := ""
		g := gate.New(gate.Config{
			Backend: "b", Limits: fixed(gate.Limits{MaxConcurrent: 1, MaxQueue: -1}),
			Pressure: func() (string, <-chan struct{}) { return pressure, nil },
		})
		leave, err := g.Enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
		pressure = tt.pressure
		_, err = g.Enter(t.Context(), 0)
		if busy, ok := errors.AsType[*gate.Busy](err); !ok || !busy.Full || !strings.HasPrefix(busy.Error(), tt.want) || busy.RetryAfter <= 0 {
			t.Errorf("%v", err)
		}
		if running, queued, limit := g.Load(3); running != 1 || queued != 0 || limit != 1 {
			t.Errorf("%d run, %d wait, %d may run", running, queued, limit)
		}
	}
}

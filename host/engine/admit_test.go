package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// never is a backend without pressure.
func never() (reason string, changed <-chan struct{}) { return "", nil }

// fixed are limits that do not change.
func fixed(l Limits) func() Limits { return func() Limits { return l } }

// TestGateKeepsUpWithThePlugin shows that a plugin that was replaced by one with
// other limits is not given more turns than it takes, and not fewer.
func TestGateKeepsUpWithThePlugin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{backend: "b", pressure: never, limits: fixed(Limits{MaxConcurrent: 4})}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave := make(chan func(), 20)
		enter := func(plugin int) {
			go func() {
				l, err := g.enter(ctx, plugin)
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
			if r, q := g.load(); r != running || q != queued {
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
		g := &gate{backend: "b", pressure: never, limits: fixed(Limits{MaxConcurrent: 1, QueueTimeout: time.Second})}
		leave, err := g.enter(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.enter(t.Context(), 0)
		if e := AsError(err); e == nil || e.Code != CodeQueueTimeout {
			t.Fatalf("err = %v", err)
		}
		leave()
		if running, queued := g.load(); running+queued != 0 {
			t.Fatalf("%d run and %d wait", running, queued)
		}
	})
}

package session

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetiredIsBounded: a backend that does not answer is given up after a while, and
// costs no more than so many calls until then.
func TestRetiredIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		r := newRetired(func(ctx context.Context, _, _ string, _ []byte) { <-ctx.Done() })
		for r.add("s", "b", []byte("token")) {
			calls++
		}
		if calls != maxRetired {
			t.Errorf("%d are under way", calls)
		}
		begin := time.Now()
		for _, other := range []struct{ id, backend string }{{"s", "c"}, {"t", "b"}} {
			if err := r.wait(t.Context(), other.id, other.backend); err != nil || time.Since(begin) > 0 {
				t.Errorf("%+v waits: %v", other, err)
			}
		}
		if err := r.wait(t.Context(), "s", "b"); err != nil || time.Since(begin) != forgetTime {
			t.Errorf("the next turn waits for %v: %v", time.Since(begin), err)
		}
		if !r.add("s", "b", []byte("token")) {
			t.Error("there is no room again")
		}
		r.stop(t.Context())
		if r.add("s", "b", []byte("token")) {
			t.Error("it goes on after the stop")
		}
	})
}

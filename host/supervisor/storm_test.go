//go:build linux

package supervisor_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// TestStorm shows that crashes leave no descriptors and no goroutines behind.
func TestStorm(t *testing.T) {
	s := run(t, func(c *supervisor.Config) {
		c.Timings.CrashWindow, c.Timings.Backoff, c.Timings.BackoffMost = time.Nanosecond, time.Nanosecond, time.Nanosecond
	}, hosttest.Entry(t, hosttest.Script{}, hosttest.Plain))
	crash := func() {
		st := status(t, s)
		kill(t, st.PID)
		eventually(t, "a new process serves", func() bool {
			now := status(t, s)
			return now.State.Serves() && now.PID != st.PID
		})
	}
	crash() // what is made once is made now
	files, goroutines := descriptors(t), runtime.NumGoroutine()
	for range 10 {
		crash()
	}
	eventually(t, "descriptors and goroutines are as before", func() bool {
		return descriptors(t) <= files && runtime.NumGoroutine() <= goroutines
	})
}

// TestQuarantineAfterCrashes shows that the fifth death of a serving process within
// ten minutes is the last one, that a restart by hand clears it, and that counting
// then begins anew.
func TestQuarantineAfterCrashes(t *testing.T) {
	s := run(t, func(c *supervisor.Config) {
		c.Timings.Backoff, c.Timings.Acquire = time.Millisecond, 10*time.Millisecond
		c.Timings.CrashWindow, c.Timings.Reset = 0, 0 // ten and five minutes, as always
	}, hosttest.Entry(t, hosttest.Script{}, hosttest.Plain))
	for range 2 {
		for n := 1; n < 5; n++ {
			before := status(t, s).PID
			kill(t, before)
			eventually(t, "a new process serves", func() bool {
				now := status(t, s)
				return now.State.Serves() && now.PID != before
			})
		}
		kill(t, status(t, s).PID)
		eventually(t, "quarantine", func() bool { return status(t, s).State == supervisor.StateQuarantined })
		var e *supervisor.NotAvailableError
		if _, err := s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || e.State != supervisor.StateQuarantined ||
			!strings.Contains(e.Reason, "failed 5 times within 10m0s") || e.ExitStatus != "signal: killed" {
			t.Fatalf("error: %v", err)
		}
		if err := s.Restart(t.Context(), "fake"); err != nil {
			t.Fatal(err)
		}
		if got, err := turn(t.Context(), acquire(t, s), hosttest.Echo, "back"); err != nil || got != "back" {
			t.Fatalf("turn: %q, %v", got, err)
		}
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

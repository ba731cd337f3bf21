//go:build linux

package supervisor_test

import (
	"os"
	"runtime"
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

func descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

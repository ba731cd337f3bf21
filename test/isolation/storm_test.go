//go:build linux

package isolation_test

import (
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// TestStorm crashes and restarts a plugin again and again: memory does not grow
// with it, and descriptors and goroutines are as before.
func TestStorm(t *testing.T) {
	w := newWorld(t, func(c *host.Config) {
		c.Timings.Backoff, c.Timings.BackoffMost = time.Nanosecond, time.Nanosecond
	}, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	crash := func() {
		before := w.pid(t)
		killExactly(t, before)
		eventually(t, "a new process serves", func() bool {
			now := w.pid(t)
			return now != 0 && now != before
		})
	}
	cycles := length(60, 10_000)
	for range max(10, cycles/20) { // what is made once is made now
		crash()
	}
	w.answers(t, faulty)
	files, goroutines := w.held(t)
	var at, rss []float64
	every := max(1, cycles/200)
	for n := range cycles {
		crash()
		if n%every == 0 {
			at, rss = append(at, float64(n)), append(rss, residentMB(t))
		}
	}
	w.answers(t, faulty)
	grown := slope(at, rss) * float64(cycles)
	t.Logf("%d crashes: memory %.1f MB, growing by %.2f MB; %d descriptors and %d goroutines before", cycles, residentMB(t), grown, files, goroutines)
	if grown > 8*slowness { // a goroutine leaked in each crash would be twice that in the long form
		t.Errorf("memory grows by %.1f MB", grown)
	}
	eventually(t, "descriptors and goroutines are as before", func() bool {
		f, g := w.held(t)
		return f <= files && g <= goroutines
	})
}

// pid of the faulty plugin; 0: it does not serve.
func (w *world) pid(t testing.TB) int {
	t.Helper()
	if b, err := w.host.Engine().Backend(faulty); err != nil {
		t.Fatal(err)
	} else if b.Serving {
		return b.PID
	}
	return 0
}

// held counts descriptors and goroutines; idle connections of clients do not
// count.
func (w *world) held(t testing.TB) (files, goroutines int) {
	t.Helper()
	w.client.CloseIdleConnections()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries), runtime.NumGoroutine()
}

// residentMB is the memory of this process, garbage excluded.
func residentMB(t testing.TB) float64 {
	t.Helper()
	debug.FreeOSMemory()
	return float64(resident(t, os.Getpid(), "VmRSS")) / (1 << 20)
}

// slope of the straight line that fits best.
func slope(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	n := float64(len(x))
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// TestQuarantine shows that the fifth crash within ten minutes is the last one:
// clients then learn why, and what to do.
func TestQuarantine(t *testing.T) {
	w := newWorld(t, func(c *host.Config) {
		defaults := supervisor.Timings{Backoff: time.Millisecond, Acquire: 10 * time.Second, Reset: c.Timings.Reset}
		c.Timings = defaults // five in ten minutes, as always
	}, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for range 4 {
		killExactly(t, w.pid(t))
		w.recovers(t, faulty)
	}
	killExactly(t, w.pid(t))
	eventually(t, "quarantine", func() bool { return w.backend(t, faulty).State == string(supervisor.StateQuarantined) })
	began := time.Now()
	o := w.must(t, restWhole, faulty, hosttest.Echo, "hi")
	if o.status != http.StatusServiceUnavailable || o.failure == nil || !strings.Contains(o.failure.message, "failed 5 times within 10m0s") ||
		!strings.Contains(o.failure.message, "signal: killed") || !strings.Contains(o.failure.message, "clinvk plugin restart faulty") {
		t.Errorf("turn: %v", o)
	}
	if took := time.Since(began); took > 9*time.Second { // not only when Acquire is over
		t.Errorf("a turn for a quarantined backend fails after %v", took)
	}
	w.answers(t, healthy)
}

package supervisor

import (
	"math/rand/v2"
	"slices"
	"time"
)

// history remembers crashes. It is used by one goroutine.
type history struct {
	timings Timings
	recent  []time.Time // within the window
	inRow   int         // since the last time it was ready for long enough
}

// crash records one and says how long to wait before the next start; ok is false
// when there were too many.
func (h *history) crash(now time.Time) (wait time.Duration, ok bool) {
	h.recent = slices.DeleteFunc(h.recent, func(t time.Time) bool { return now.Sub(t) >= h.timings.CrashWindow })
	h.recent = append(h.recent, now)
	h.inRow++
	if len(h.recent) >= crashMost {
		return 0, false
	}
	if h.inRow == 1 {
		return 0, true
	}
	wait = h.timings.Backoff
	for n := 2; n < h.inRow && wait < h.timings.BackoffMost; n++ {
		wait *= 2
	}
	wait = min(wait, h.timings.BackoffMost)
	spread := 1 + jitter*(2*rand.Float64()-1) //nolint:gosec // spreading needs no secrecy
	return time.Duration(float64(wait) * spread), true
}

// recovered forgets that crashes came in a row.
func (h *history) recovered() { h.inRow = 0 }

// forget starts over, as an operator asks for.
func (h *history) forget() { h.inRow, h.recent = 0, nil }

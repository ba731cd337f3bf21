//go:build unix

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/await"
)

func TestClientGone(t *testing.T) {
	for _, backend := range realBackends {
		for _, d := range dialects {
			t.Run(backend+"/"+d.name, func(t *testing.T) {
				up := shared.upstream(backend)
				get(t, d, ask{model: backend, history: prompt("warm up")})
				before := settle(t, func(int) bool { return true })
				n := nonce()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() {
					_, err := d.do(ctx, shared.server.Direct, ask{model: backend, history: prompt(n + " [[tokens=50 gap=10ms hangat=30]]"), stream: true})
					done <- err
				}()
				wait(t, "the model call", func() bool { return len(up.find(n)) == 1 })
				cancel()
				if err := <-done; err == nil {
					t.Fatal("the answer came whole")
				}
				call := up.find(n)[0]
				wait(t, "the upstream's connection to close", func() bool { return !call.Gone().IsZero() })
				get(t, d, ask{model: backend, history: prompt("next")})
				settle(t, func(now int) bool { return now <= before+1 })
			})
		}
	}
}

// settle waits until the number of processes satisfies ok and stays for a moment.
func settle(t *testing.T, ok func(int) bool) int {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	last, since := -1, time.Now()
	for {
		now := len(shared.server.Processes())
		if now != last {
			last, since = now, time.Now()
		}
		if ok(now) && time.Since(since) > 300*time.Millisecond {
			return now
		}
		if time.Now().After(deadline) {
			t.Errorf("there are %d processes: %v", now, shared.server.Processes())
			return now
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// waitLimit is long enough for a machine that has much else to do. What a test waits
// for would else not come at all, or be minutes away.
const waitLimit = time.Minute

// wait polls until ok.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	await.Until(t, waitLimit, what, ok)
}

//go:build unix

package e2e

import (
	"context"
	"testing"
	"time"
)

// goneLimit is how soon the upstream's connection must be closed when the client
// has gone.
const goneLimit = time.Second

func TestClientGone(t *testing.T) {
	for _, backend := range realBackends {
		for _, d := range dialects {
			t.Run(backend+"/"+d.name, func(t *testing.T) {
				up := shared.upstream(backend)
				get(t, d, ask{model: backend, history: prompt("warm up")})
				before := settle(t, 10*time.Second, func(int) bool { return true })
				n := nonce()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() {
					_, err := d.do(ctx, shared.server.Direct, ask{model: backend, history: prompt(n + " [[tokens=50 gap=10ms hangat=30]]"), stream: true})
					done <- err
				}()
				wait(t, 5*time.Second, "the model call", func() bool { return len(up.find(n)) == 1 })
				left := time.Now()
				cancel()
				if err := <-done; err == nil {
					t.Fatal("the answer came whole")
				}
				call := up.find(n)[0]
				wait(t, goneLimit+time.Second, "the upstream's connection to close", func() bool { return !call.Gone().IsZero() })
				if took := call.Gone().Sub(left); took > goneLimit {
					t.Errorf("the upstream's connection was closed after %v", took)
				}
				get(t, d, ask{model: backend, history: prompt("next")})
				settle(t, 10*time.Second, func(now int) bool { return now <= before+1 })
			})
		}
	}
}

// settle waits until the number of processes satisfies ok and stays for a moment.
func settle(t *testing.T, limit time.Duration, ok func(int) bool) int {
	t.Helper()
	deadline := time.Now().Add(limit)
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

// wait polls until ok.
func wait(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

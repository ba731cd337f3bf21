//go:build unix

package e2e

import (
	"context"
	"testing"
)

// TestClientLeavesInTheMidst: when a client goes away while the model reasons, or
// while it writes the arguments of a call, the upstream's connection is closed and no
// process is left.
func TestClientLeavesInTheMidst(t *testing.T) {
	long := call("", look.Name, `{"note":"a long note that comes in pieces"}`)
	for _, backend := range realBackends {
		for what, says := range map[string]string{
			"thinking":  "[[think=10000 gap=20ms]]",
			"arguments": "[[tokens=1 gap=3s]] " + scripted(long, long),
		} {
			for i, d := range contentDialects() {
				if (i == 1) != (what == "thinking") {
					continue // each kind through one dialect, or two
				}
				t.Run(backend+"/"+what+"/"+d.name, func(t *testing.T) {
					up := shared.upstream(backend)
					before := settle(t, func(int) bool { return true })
					n := nonce()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					begun, done := make(chan struct{}, 1), make(chan error, 1)
					go func() {
						_, err := d.do(ctx, shared.server.URL, ask{
							model: backend, stream: true, think: true, tools: []tool{look}, history: prompt(n + " " + says),
							onPart: func(kind string) {
								if kind == "text" && backend != "gemini" { // which has all calls in one event
									return
								}
								select {
								case begun <- struct{}{}:
								default:
								}
							},
						})
						done <- err
					}()
					select {
					case <-begun:
					case err := <-done:
						t.Fatalf("the answer ended: %v", err)
					}
					cancel()
					if err := <-done; err == nil {
						t.Fatal("the answer came whole")
					}
					request := up.only(t, n)
					wait(t, "the upstream's connection to close", func() bool { return !request.Gone().IsZero() })
					settle(t, func(now int) bool { return now <= before+1 })
				})
			}
		}
	}
}

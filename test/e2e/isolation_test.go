//go:build unix

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestConcurrentRequestsNeverMix: 24 at once per backend, each with words of its
// own in system prompt, history and prompt; no word ever shows elsewhere.
func TestConcurrentRequestsNeverMix(t *testing.T) {
	const requests = 24
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			up := shared.upstream(backend)
			base := nonce()
			words := func(i int) string { return fmt.Sprintf("%s-%02d-", base, i) }
			var wg sync.WaitGroup
			for i := range requests {
				wg.Go(func() {
					d := []dialect{openaiChat, anthropicMessages}[i%2]
					w := words(i)
					history := []message{{"user", "first " + w + "h"}, {"assistant", "ok " + w + "a"}, {"user", "now " + w + "p [[echo]]"}}
					r, err := d.do(t.Context(), shared.server.URL, ask{model: backend, system: "sys " + w + "s", history: history, stream: i%3 != 0})
					if err != nil || r.err != nil {
						t.Errorf("request %d: %v %+v", i, err, r.err)
						return
					}
					if r.text != history[2].Text {
						t.Errorf("request %d got %q", i, r.text)
					}
				})
			}
			wg.Wait()
			calls := up.find(base)
			if len(calls) != requests {
				t.Errorf("%d model calls for %d requests", len(calls), requests)
			}
			for _, c := range calls {
				body := string(c.Body)
				var own string
				for i := range requests {
					if strings.Contains(body, words(i)) {
						if own != "" {
							t.Errorf("one model call holds words of %s and %s", own, words(i))
						}
						own = words(i)
					}
				}
				for _, part := range []string{"s", "h", "a", "p"} {
					if !strings.Contains(body, own+part) {
						t.Errorf("the call of %s lacks %q", own, part)
					}
				}
			}
		})
	}
}

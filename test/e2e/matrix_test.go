//go:build unix

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// each runs f for every real backend, dialect and kind of answer; the backends
// side by side.
func each(t *testing.T, f func(t *testing.T, backend string, d dialect, stream bool)) {
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, d := range dialects {
				for _, stream := range []bool{false, true} {
					kind := map[bool]string{false: "plain", true: "stream"}[stream]
					t.Run(d.name+"/"+kind, func(t *testing.T) { f(t, backend, d, stream) })
				}
			}
		})
	}
}

// get asks the shared server; anything but an answer fails the test.
func get(t *testing.T, d dialect, a ask) *reply {
	t.Helper()
	return shared.get(t, d, a)
}

func (w *world) get(t *testing.T, d dialect, a ask) *reply {
	t.Helper()
	r, err := d.do(t.Context(), w.server.URL, a)
	if err != nil {
		t.Fatalf("%v (status %d, %s)", err, r.status, r.raw)
	}
	if r.err != nil {
		t.Fatalf("status %d: %+v", r.status, r.err)
	}
	return r
}

func prompt(text string) []message { return []message{{"user", text}} }

// TestAnswerReachesTheClient is the main job: each real CLI through each dialect,
// plain and streamed; the text, the usage, and what went upstream.
func TestAnswerReachesTheClient(t *testing.T) {
	each(t, func(t *testing.T, backend string, d dialect, stream bool) {
		up := shared.upstream(backend)
		n := nonce()
		system := "You are terse.\nSay " + n + "sys."
		const paced = " [[tokens=20 gap=20ms think=2]]"
		history := prompt("hello " + n + paced)
		if d.history {
			history = append([]message{{"user", "first " + n + "a"}, {"assistant", "second " + n + "b"}}, history...)
		}
		s := script(t, history[len(history)-1].Text)
		r := get(t, d, ask{model: backend, system: system, history: history, stream: stream, think: true})

		if r.text != s.Answer() {
			t.Errorf("text = %q, want %q", r.text, s.Answer())
		}
		if stream {
			checkPace(t, r, func() *reply {
				return get(t, d, ask{model: backend, system: system, history: prompt("again " + nonce() + paced), stream: true, think: true})
			})
		}
		if d.name != "rest" || stream {
			if !strings.Contains(r.think, "thought0") {
				t.Errorf("reasoning = %q", r.think)
			}
		}
		want := up.usage
		want.Output = int64(up.outputTokens(s))
		if d.name == "openai" { // has no word for cache writes
			want.CacheWrite = r.usage.CacheWrite
		}
		if diff := cmp.Diff(want, r.usage); diff != "" {
			t.Errorf("usage: %s", diff)
		}

		calls := up.find("hello " + n) // the system prompt is that of other calls, too
		if len(calls) != 1 {
			t.Fatalf("%d model calls", len(calls))
		}
		gotSystem, gotMessages := up.conversation(calls[0])
		if diff := cmp.Diff(system, gotSystem); diff != "" {
			t.Errorf("system prompt upstream: %s", diff)
		}
		if diff := cmp.Diff(history, gotMessages); diff != "" {
			t.Errorf("history upstream: %s", diff)
		}
		for _, a := range up.additions(calls[0]) {
			if !allowedAddition(backend, a) {
				t.Errorf("the CLI added %q", a)
			}
		}
	})
}

// checkPace holds a stream to the pace of 20 tokens that come 20 ms apart. A busy
// machine may hold one stream up; whatever gathers tokens does so each time.
func checkPace(t *testing.T, r *reply, again func() *reply) {
	t.Helper()
	const attempts = 3
	for attempt := 1; ; attempt++ {
		var spread time.Duration
		if n := len(r.deltas); n > 0 {
			spread = r.deltas[n-1].Sub(r.deltas[0])
		}
		if len(r.deltas) >= 15 && spread >= 300*time.Millisecond {
			return
		}
		if attempt == attempts {
			t.Errorf("%d deltas for 20 tokens, within %v", len(r.deltas), spread)
			return
		}
		r = again()
	}
}

// allowedAddition knows the few lines that a CLI cannot be kept from sending.
func allowedAddition(backend, text string) bool {
	if backend != "claude" {
		return false
	}
	return strings.Contains(text, "currentDate") || strings.Contains(text, "Today's date") ||
		strings.Contains(text, "Primary working directory") || strings.Contains(text, "<env>") || strings.Contains(text, "Environment")
}

// TestConversationGoesOn: three turns in a row reach the upstream as one exact
// history, whether the live conversation was used or not.
func TestConversationGoesOn(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		for _, d := range []dialect{openaiChat, anthropicMessages} {
			t.Run(backend+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				up := shared.upstream(backend)
				n := nonce()
				var history []message
				for i := range 3 {
					history = append(history, message{"user", fmt.Sprintf("turn %d %s-%d [[tokens=%d]]", i, n, i, i+2)})
					r := get(t, d, ask{model: backend, system: "System " + n, history: history, stream: i%2 == 0})
					calls := up.find(fmt.Sprintf("%s-%d", n, i))
					if len(calls) != 1 {
						t.Fatalf("turn %d: %d model calls", i, len(calls))
					}
					system, got := up.conversation(calls[0])
					if system != "System "+n {
						t.Errorf("turn %d: system %q", i, system)
					}
					if diff := cmp.Diff(history, got); diff != "" {
						t.Errorf("turn %d: %s", i, diff)
					}
					history = append(history, message{"assistant", r.text})
				}
			})
		}
	}
}

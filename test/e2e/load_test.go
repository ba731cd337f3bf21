//go:build unix

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var allBackends = append([]string{"echo"}, realBackends...)

// TestLargePrompts sends prompts as long as those of agents, and ten times as long:
// each reaches the model whole.
func TestLargePrompts(t *testing.T) {
	t.Parallel()
	for _, backend := range allBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for i, d := range dialects {
				for _, size := range []int{200 << 10, 2 << 20} {
					t.Run(fmt.Sprintf("%s/%d", d.name, size), func(t *testing.T) {
						n := nonce()
						text := n + " [[tokens=2]] " + strings.Repeat("All wörk and no play. ", size/23)
						r := get(t, d, ask{model: backend, history: prompt(text), stream: (i+size>>20)%2 == 0})
						if backend == "echo" {
							if r.text != text {
								t.Errorf("the answer has %d bytes of %d", len(r.text), len(text))
							}
							return
						}
						if r.text != "tok0 tok1 " {
							t.Errorf("the answer is %q", r.text)
						}
						up := shared.upstream(backend)
						sent := up.find(n)
						if len(sent) == 0 {
							t.Fatal("no model call")
						}
						if _, got := up.conversation(sent[0]); len(got) != 1 || got[0].Text != text {
							t.Errorf("the model got %d messages: %s", len(got), clipped(got))
						}
					})
				}
			}
		})
	}
}

func clipped(messages []message) string { return tail(fmt.Sprint(messages), 300) }

// TestParallelStreams runs many streams on all backends at one time: each has its
// own words and nothing else.
func TestParallelStreams(t *testing.T) {
	const echoes, others = 64, 8
	var wg sync.WaitGroup
	run := func(model, text, want string, d dialect) {
		wg.Go(func() {
			r, err := d.do(t.Context(), shared.server.URL, ask{model: model, history: prompt(text), stream: true})
			if err != nil || r.err != nil || r.text != want {
				t.Errorf("%s through %s: %v %+v, %q instead of %q", model, d.name, err, r.err, r.text, want)
			}
		})
	}
	for i := range echoes {
		text := strings.Repeat(nonce()+" ", 40)
		run("echo/slow", text, text, dialects[i%len(dialects)])
	}
	for _, backend := range realBackends {
		for i := range others {
			want := strings.Repeat(nonce()+" ", 40)
			run(backend, scriptOf("text", want), want, dialects[i%len(dialects)])
		}
	}
	wg.Wait()
}

// scriptOf is a directive with a text.
func scriptOf(key, text string) string {
	return "[[" + key + "=b64:" + base64.StdEncoding.EncodeToString([]byte(text)) + "]]"
}

// marks are code points that must not be cut, and some that belong together.
const marks = "👩‍👩‍👧‍👦 é ẹ́ 🇩🇪 \u202eRTL 漢字 𝄞 ✓"

// TestCodePoints: the model API flushes in the middle of each code point of text,
// reasoning and arguments; each dialect shows them whole, and each as what it is.
func TestCodePoints(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, backend string, d dialect, stream bool) {
		text := "[[split]] " + scriptOf("text", "said "+marks) + scriptOf("thought", "thought "+marks)
		r := get(t, d, ask{model: backend, history: prompt(nonce() + " " + text), stream: stream, think: true})
		if r.text != "said "+marks {
			t.Errorf("the text is %q", r.text)
		}
		if d.name == "rest" && !stream {
			return // shows no reasoning
		}
		if backend == "gemini" { // its CLI hands thoughts on as summaries, without the spaces between
			r = get(t, d, ask{model: backend, history: prompt(nonce() + " " + scriptOf("thought", "thought "+marks)), stream: stream, think: true})
		}
		if strings.TrimSpace(r.think) != "thought "+marks {
			t.Errorf("the reasoning is %q", r.think)
		}
	})
}

// TestCodePointsOfArguments is the same for the arguments of calls.
func TestCodePointsOfArguments(t *testing.T) {
	t.Parallel()
	want, err := json.Marshal(object{"text": marks})
	if err != nil {
		t.Fatal(err)
	}
	script := "[[split tokens=0 tool=" + toolName + " args=b64:" + base64.StdEncoding.EncodeToString(want) + "]]"
	for _, backend := range allBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct {
				endpoint endpoint
				tools    object
				member   string
			}{{chatFields, chatTools, "arguments"}, {messageFields, messageTools, "partial_json"}} {
				for _, stream := range []bool{true, false} {
					t.Run(fmt.Sprintf("%s stream=%v", tt.endpoint.path, stream), func(t *testing.T) {
						member, model, text := tt.member, backend, nonce()+" "+script
						if backend == "echo" {
							model, text = "echo/tool", string(want)
						}
						if !stream && member == "partial_json" {
							member = "input"
						}
						body := tt.endpoint.body(model, text)
						for name, value := range tt.tools {
							place(body, name, value, text)
						}
						body["stream"] = stream
						p, err := tt.endpoint.post(t, body)
						if err != nil || p.status != http.StatusOK {
							t.Fatalf("%v, status %d: %s", err, p.status, p.raw)
						}
						var got object
						if err := json.Unmarshal([]byte(gather(t, p.raw, member)), &got); err != nil {
							t.Fatalf("%v: %s", err, p.raw)
						}
						if diff := cmp.Diff(object{"text": marks}, got); diff != "" {
							t.Error(diff)
						}
					})
				}
			}
		})
	}
}

// gather puts together what a member holds in the events of a stream, or in a plain
// answer.
func gather(t *testing.T, raw, member string) (all string) {
	t.Helper()
	for line := range strings.Lines(raw) {
		_, data, _ := strings.Cut(line, "data: ")
		if !strings.HasPrefix(line, "data: ") {
			data = line
		}
		var v any
		if json.Unmarshal([]byte(data), &v) != nil {
			continue // event lines, empty ones, the end
		}
		walk(v, func(key string, value any) bool {
			if key != member {
				return false
			}
			text, ok := value.(string)
			if !ok {
				whole, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				text = string(whole)
			}
			all += text
			return true
		})
	}
	return all
}

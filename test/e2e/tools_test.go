//go:build unix

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// eachContent runs f for every real backend, dialect and kind of answer; the backends
// side by side.
func eachContent(t *testing.T, f func(t *testing.T, backend string, d dialect, stream bool)) {
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, d := range contentDialects() {
				for _, stream := range []bool{false, true} {
					kind := map[bool]string{false: "plain", true: "stream"}[stream]
					t.Run(d.name+"/"+kind, func(t *testing.T) { f(t, backend, d, stream) })
				}
			}
		})
	}
}

// finishes are the dialects' words for the end of an answer.
var finishes = map[string]map[string]string{
	"openai":    {"stop": "stop", "calls": "tool_calls", "length": "length", "sequence": "stop"},
	"anthropic": {"stop": "end_turn", "calls": "tool_use", "length": "max_tokens", "sequence": "stop_sequence"},
	"responses": {"stop": "completed", "calls": "completed", "length": "incomplete", "sequence": "completed"},
}

// weather and look are tools with all that schemas are made of.
var (
	weather = tool{
		"get_weather", "Weather of a city.\n\"Quoted\", \\ and ${HOME} — " + strings.Repeat("long ", 1200),
		`{"type":"object","properties":{"city":{"type":"string","description":"Größe \"x\""},"days":{"type":"integer","minimum":1},
		"unit":{"enum":["C","F"],"type":"string"}},"required":["city"],"additionalProperties":false}`,
	}
	look = tool{
		"look-up_2", "Looks things up.",
		`{"type":"object","properties":{"where":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"object","properties":{
		"deep":{"type":"boolean"}}}]}},"note":{"type":"string"}}}`,
	}
)

// carried is what a provider gets to see of a conversation: each has its own words
// for results.
func carried(backend string, turns []turn) (out []turn) {
	for _, t := range flat(turns) {
		p := t.Parts[0]
		switch {
		case backend == "claude":
		case p.Kind == "thinking" || p.Kind == "redacted":
			continue // is taken back by nobody else
		case backend == "codex":
			p.IsError = false // has no word for it
		}
		out = append(out, turn{t.Role, []part{p}})
	}
	return out
}

// lostByCodex are keywords that the CLI of codex leaves out of schemas; the model then
// learns of them by the description only.
var lostByCodex = []string{"minimum", "pattern"}

// offered are tools as they should reach the upstream.
func offered(backend string, tools ...tool) (out []tool) {
	for _, t := range tools {
		schema := t.Schema
		if backend == "codex" {
			schema = without(schema, lostByCodex)
		}
		out = append(out, tool{t.Name, t.Description, canonical(schema)})
	}
	return out
}

// without is a schema without some keywords, at every level.
func without(schema string, keywords []string) string {
	var v any
	if json.Unmarshal([]byte(schema), &v) != nil {
		return schema
	}
	var strip func(v any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if slices.Contains(keywords, name) {
					delete(v, name)
				}
				strip(inner)
			}
		case []any:
			for _, inner := range v {
				strip(inner)
			}
		}
	}
	strip(v)
	out, _ := json.Marshal(v) // was JSON a moment ago
	return string(out)
}

// checkSent compares what reached the upstream with what the client said.
func checkSent(t *testing.T, backend string, s sent, a ask) {
	t.Helper()
	if diff := cmp.Diff(carried(backend, a.turns), flat(s.turns), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the history upstream (-want +got): %s", diff)
	}
	if diff := cmp.Diff(offered(backend, a.tools...), s.tools, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the tools upstream (-want +got): %s", diff)
	}
}

// checkCalls compares the calls of an answer with the scripted ones, in order, and
// returns them as the client has to give them back.
func checkCalls(t *testing.T, r *reply, want ...part) []part {
	t.Helper()
	got := r.of("call")
	seen := map[string]bool{}
	plain := make([]part, 0, len(got))
	for _, c := range got {
		if c.ID == "" || seen[c.ID] {
			t.Errorf("the call %+v has no id of its own", c)
		}
		seen[c.ID] = true
		plain = append(plain, call("", c.Name, canonical(c.Text)))
	}
	for i := range want {
		want[i].Text = canonical(want[i].Text)
	}
	if diff := cmp.Diff(want, plain); diff != "" {
		t.Fatalf("the calls (-want +got): %s", diff)
	}
	return got
}

// TestClientToolsRoundTrip is an agent's loop without state in the server: three
// calls at once, one more, and an answer. Each request brings the whole history; it
// must reach the upstream as it was.
func TestClientToolsRoundTrip(t *testing.T) {
	t.Parallel()
	eachContent(t, func(t *testing.T, backend string, d dialect, stream bool) {
		up, n := shared.upstream(backend), nonce()
		first := []part{
			call("", look.Name, `{"where":["a",{"deep":true}],"note":"ü\n\"q\" $HOME ${PATH} 😀 \\ </x>"}`),
			call("", weather.Name, `{"city":"Oslo","days":2}`),
			call("", weather.Name, `{}`),
		}
		second := call("", weather.Name, `{"city":"Rome","unit":"C"}`)
		a := ask{
			model: backend, system: "Use tools.", stream: stream, tools: []tool{weather, look},
			turns: []turn{user(text(n + "-0 [[tokens=2]] " + scripted(first...)))},
		}

		r := get(t, d, a)
		calls := checkCalls(t, r, first...)
		if r.text != "tok0 tok1 " || r.parts[0].Kind != "text" {
			t.Errorf("text %q beside the calls; parts %+v", r.text, r.parts)
		}
		checkEnd(t, d, r, "calls")
		s := readSent(t, backend, up.only(t, n+"-0"))
		checkSent(t, backend, s, a)
		if s.choice != "" && s.choice != "auto" {
			t.Errorf("the choice upstream is %q", s.choice)
		}

		failed := result(calls[1].ID, text("no such city: "+n))
		failed.IsError = d.name == "anthropic" // the others have no word for it
		picture := result(calls[2].ID, text("a picture"), image("image/png"))
		a.turns = append(a.turns, assistant(r.parts...),
			user(result(calls[0].ID, text(n+"-1 [[tokens=0]] "+scripted(second))), failed, picture))
		r = get(t, d, a)
		calls = checkCalls(t, r, second)
		if r.text != "" {
			t.Errorf("text %q", r.text)
		}
		checkEnd(t, d, r, "calls")
		checkSent(t, backend, readSent(t, backend, up.only(t, n+"-1")), a)

		a.turns = append(a.turns, assistant(r.parts...), user(result(calls[0].ID, text(n+"-2 [[tokens=3]]"))))
		r = get(t, d, a)
		if r.text != "tok0 tok1 tok2 " || len(r.parts) != 1 {
			t.Errorf("parts %+v", r.parts)
		}
		checkEnd(t, d, r, "stop")
		checkSent(t, backend, readSent(t, backend, up.only(t, n+"-2")), a)
	})
}

// checkEnd checks why an answer ended, and that it tells its usage.
func checkEnd(t *testing.T, d dialect, r *reply, kind string) {
	t.Helper()
	if want := finishes[d.name][kind]; r.finish != want {
		t.Errorf("finish is %q, want %q", r.finish, want)
	}
	if r.usage.Input == 0 || r.usage.Output == 0 {
		t.Errorf("usage is %+v", r.usage)
	}
}

// TestToolChoice: a forced choice reaches the upstream, or is refused by its name;
// none gives no call, whatever the upstream does.
func TestToolChoice(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for i, d := range contentDialects() {
				for j, choice := range []string{"required", look.Name, "none"} {
					t.Run(d.name+"/"+choice, func(t *testing.T) {
						n := nonce()
						want := call("", look.Name, `{"note":"x"}`)
						a := ask{
							model: backend, tools: []tool{weather, look}, choice: choice, stream: (i+j)%2 == 0,
							turns: []turn{user(text(n + " " + scripted(want)))},
						}
						if choice == "none" {
							a.turns[0].Parts[0].Text = n
						}
						r, err := d.do(t.Context(), shared.server.URL, a)
						if err != nil {
							t.Fatal(err)
						}
						if r.err != nil && choice != "none" {
							if r.status != http.StatusBadRequest || !strings.Contains(r.err.message, "tool_choice") {
								t.Errorf("status %d: %+v", r.status, r.err)
							}
							if calls := shared.upstream(backend).find(n); len(calls) != 0 {
								t.Errorf("refused after %d model calls", len(calls))
							}
							return
						}
						if r.err != nil {
							t.Fatalf("status %d: %+v", r.status, r.err)
						}
						s := readSent(t, backend, shared.upstream(backend).only(t, n))
						if choice != "none" {
							checkCalls(t, r, want)
							if s.choice != choice {
								t.Errorf("the choice upstream is %q", s.choice)
							}
							return
						}
						if len(r.of("call")) > 0 || r.text == "" {
							t.Errorf("parts %+v", r.parts)
						}
						if len(s.tools) > 0 && s.choice != "none" {
							t.Errorf("the upstream may choose %q among %d tools", s.choice, len(s.tools))
						}
					})
				}
			}
		})
	}
}

// TestClientToolsAreNotRun: a client's tool that is named as one of the CLI's own, or
// as one of another CLI, is the client's to run.
func TestClientToolsAreNotRun(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for i, d := range contentDialects() {
				t.Run(d.name, func(t *testing.T) {
					dir, n := t.TempDir(), nonce()
					path := func(name string) string { return filepath.Join(dir, name) }
					var tools []tool
					var calls []part
					for name, arguments := range map[string]map[string]any{
						"Bash":              {"command": "touch " + path("bash"), "description": "x"},
						"Write":             {"file_path": path("write"), "content": "x"},
						"shell":             {"command": []string{"touch", path("shell")}},
						"exec_command":      {"cmd": "touch " + path("exec")},
						"apply_patch":       {"input": "*** Begin Patch\n*** Add File: " + path("patch") + "\n+x\n*** End Patch\n"},
						"run_shell_command": {"command": "touch " + path("run")},
						"write_file":        {"file_path": path("file"), "content": "x"},
					} {
						raw, err := json.Marshal(arguments)
						if err != nil {
							t.Fatal(err)
						}
						tools = append(tools, tool{name, "The client's.", `{"type":"object","properties":{}}`})
						calls = append(calls, call("", name, string(raw)))
					}
					a := ask{model: backend, stream: i%2 == 0, tools: tools, turns: []turn{user(text(n + " [[tokens=0]] " + scripted(upstreamNames(backend, calls)...)))}}
					r := get(t, d, a)
					checkCalls(t, r, calls...)
					checkEnd(t, d, r, "calls")
					if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
						t.Errorf("calls were carried out: %v, %v", left, err)
					}
					if got := readSent(t, backend, shared.upstream(backend).only(t, n)); len(got.tools) != len(tools) {
						t.Errorf("%d tools upstream, want %d", len(got.tools), len(tools))
					}
				})
			}
		})
	}
}

// upstreamNames are calls under the names that the model sees: the CLI of codex keeps
// one for itself.
func upstreamNames(backend string, calls []part) []part {
	out := make([]part, 0, len(calls))
	for _, c := range calls {
		if backend == "codex" && c.Name == "exec_command" {
			c.Name = "client_exec_command"
		}
		out = append(out, c)
	}
	return out
}

// TestArgumentsKeepTheirBytes: arguments come as the model wrote them, where the CLI
// shows them so.
func TestArgumentsKeepTheirBytes(t *testing.T) {
	t.Parallel()
	const arguments = `{"z":1, "a":  9007199254740993,"e":1.50,"s":"\u00fc\/ü"}`
	for _, backend := range []string{"claude", "codex"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprint("stream ", stream), func(t *testing.T) {
					r := get(t, openaiChat, ask{
						model: backend, tools: []tool{look}, stream: stream,
						turns: []turn{user(text(nonce() + " " + scripted(call("", look.Name, arguments))))},
					})
					if calls := r.of("call"); len(calls) != 1 || calls[0].Text != arguments {
						t.Errorf("calls %+v", calls)
					}
				})
			}
		})
	}
}

// TestCallCutShort: an answer that the limit of tokens cuts inside the arguments of a
// call is an answer that was cut, and no error.
func TestCallCutShort(t *testing.T) {
	cut := base64.StdEncoding.EncodeToString([]byte(`{"note":"half of a`))
	for _, d := range contentDialects() {
		for _, stream := range []bool{false, true} {
			r := get(t, d, ask{
				model: "claude", stream: stream, tools: []tool{look},
				turns: []turn{user(text(nonce() + " [[tokens=1 finish=length tool=" + look.Name + " args=b64:" + cut + "]]"))},
			})
			if r.text != "tok0 " || len(r.of("call")) > 1 {
				t.Errorf("%s, stream %v: text %q, calls %+v", d.name, stream, r.text, r.of("call"))
			}
			checkEnd(t, d, r, "length")
		}
	}
}

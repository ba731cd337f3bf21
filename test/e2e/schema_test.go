//go:build unix

package e2e

import (
	"net/http"
	"strings"
	"testing"
)

const (
	answerSchema = `{"type":"object","properties":{"city":{"type":"string"},"people":{"type":"integer"},"tags":{"type":"array","items":{"type":"string"}}},
		"required":["city","people","tags"],"additionalProperties":false}`
	goodAnswer = `{"city":"Zürich","people":443037,"tags":["lake","😀"]}`
)

// TestAnswerKeepsToSchema: the schema reaches a provider that can hold its model to
// it, and the answer is JSON that matches.
func TestAnswerKeepsToSchema(t *testing.T) {
	t.Parallel()
	eachContent(t, func(t *testing.T, backend string, d dialect, stream bool) {
		n := nonce()
		a := ask{model: backend, stream: stream, schema: answerSchema, turns: []turn{user(text(n + " [[text=" + base64Text(goodAnswer) + "]]"))}}
		r := get(t, d, a)
		if canonical(r.text) != canonical(goodAnswer) || len(r.of("call")) > 0 {
			t.Errorf("parts %+v", r.parts)
		}
		checkEnd(t, d, r, "stop")
		s := readSent(t, backend, shared.upstream(backend).only(t, n))
		if s.schema != canonical(answerSchema) {
			t.Errorf("the schema upstream is %q", s.schema)
		}
	})
}

// TestAnswerIsAnyObject is OpenAI's json_object.
func TestAnswerIsAnyObject(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			r := get(t, openaiChat, ask{model: backend, schema: "object", turns: []turn{user(text(nonce() + " [[text=" + base64Text(goodAnswer) + "]]"))}})
			if canonical(r.text) != canonical(goodAnswer) {
				t.Errorf("text %q", r.text)
			}
		})
	}
}

// TestAnswerThatBreaksItsSchema: what is no JSON, or other JSON than was asked for, is
// an error and never an answer.
func TestAnswerThatBreaksItsSchema(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			for i, d := range contentDialects() {
				for name, test := range map[string]struct{ schema, says string }{
					"no JSON":      {answerSchema, "Here you are:"},
					"another type": {answerSchema, `{"city":1,"people":"x","tags":[]}`},
				} {
					t.Run(d.name+"/"+name, func(t *testing.T) {
						stream := i == 1
						r, err := d.do(t.Context(), shared.server.URL, ask{
							model: backend, stream: stream, schema: test.schema,
							turns: []turn{user(text(nonce() + " [[text=" + base64Text(test.says) + "]]"))},
						})
						if err != nil {
							t.Fatal(err)
						}
						if r.err == nil {
							t.Fatalf("status %d, text %q, finish %q", r.status, r.text, r.finish)
						}
						if !stream && r.status != http.StatusBadGateway {
							t.Errorf("status %d: %+v", r.status, r.err)
						}
					})
				}
			}
		})
	}
}

// TestLaxSchema: a schema as clients write them, with an optional property and a bound,
// is no mistake where the provider takes none such: the answer is asked for in words,
// taken out of its code block, and checked.
func TestLaxSchema(t *testing.T) {
	const lax = `{"type":"object","properties":{"city":{"type":"string","minLength":1},"people":{"type":"integer"}},"required":["city"]}`
	for _, backend := range []string{"claude", "codex"} {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			n := nonce()
			says := "```json\n" + `{"city":"Zürich"}` + "\n```"
			r := get(t, openaiChat, ask{model: backend, schema: lax, turns: []turn{user(text(n + " [[text=" + base64Text(says) + "]]"))}})
			if canonical(r.text) != canonical(`{"city":"Zürich"}`) {
				t.Errorf("text %q", r.text)
			}
			sent := shared.upstream(backend).only(t, n)
			if s := readSent(t, backend, sent); s.schema != "" {
				t.Errorf("the schema upstream is %q", s.schema)
			}
			if !strings.Contains(string(sent.Body), "minLength") {
				t.Error("the schema is not in words upstream")
			}
		})
	}
}

// TestSchemaWithTools: a call may come in place of the answer.
func TestSchemaWithTools(t *testing.T) {
	t.Parallel()
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			t.Parallel()
			want := call("", look.Name, `{"note":"x"}`)
			for i, d := range contentDialects() {
				r := get(t, d, ask{
					model: backend, stream: i == 0, schema: answerSchema, tools: []tool{look},
					turns: []turn{user(text(nonce() + " [[tokens=0]] " + scripted(want)))},
				})
				checkCalls(t, r, want)
				checkEnd(t, d, r, "calls")
			}
		})
	}
}

// TestSchemaThatIsNone: what is no schema is refused before anything runs.
func TestSchemaThatIsNone(t *testing.T) {
	for _, d := range contentDialects() {
		for _, schema := range []string{`"text"`, `7`, `[]`} {
			r, err := d.do(t.Context(), shared.server.URL, ask{model: "claude", schema: schema, history: prompt("x")})
			if err != nil {
				t.Fatal(err)
			}
			if r.status != http.StatusBadRequest || r.err == nil {
				t.Errorf("%s: the schema %s: status %d", d.name, schema, r.status)
			}
		}
	}
}

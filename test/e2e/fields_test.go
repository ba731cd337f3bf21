//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/clinvk/clinvk/test/doctable"
	"github.com/clinvk/clinvk/test/harness"
)

// endpoint is an operation whose fields are tried.
type endpoint struct {
	title, path string
	// body is the least that can be sent.
	body   func(model, prompt string) object
	fields []field
}

type object = map[string]any

// field is one row: a value of a field that tells whether it was heeded.
type field struct {
	name string
	// form tells rows of one field apart; empty: there is one.
	form  string
	value any
	// values replaces it for backends to which it would be the usual one.
	values map[string]any
	// body is put into the request besides, and may replace what is there.
	body object
	// model of the echo backend, where its default does not do.
	echo string
	// say is what the model is to answer; empty: a few words.
	say string
	// harmless says that nothing in an answer could differ.
	harmless bool
	// seen finds the effect, which must not be there without the field; nil: it cannot
	// be seen from outside.
	seen func(probe) bool
	// usual says that the value asks for what is done anyway.
	usual bool
}

func (f field) label() string {
	if f.form == "" {
		return "`" + f.name + "`"
	}
	return "`" + f.name + "`: " + f.form
}

// on is the value for a backend.
func (f field) on(backend string) any {
	if value, ok := f.values[backend]; ok {
		return value
	}
	return f.value
}

// probe is what became of a request.
type probe struct {
	backend string
	value   any // of the field, also without it
	status  int
	header  http.Header
	raw     string
	body    any // of the answer; nil for streams
	sent    any // to the model API; nil: nothing, or there is none
	upRaw   string
}

// reason is the code of a refusal, or its type, where there is no code.
func (p probe) reason() string {
	body, _ := p.body.(object)
	failure, _ := body["error"].(object)
	for _, key := range []string{"code", "type"} {
		if text, ok := failure[key].(string); ok {
			return text
		}
	}
	return "?"
}

// endpoints whose fields are in the table.
var endpoints = []endpoint{chatFields, responseFields, messageFields}

// TestRequestFields sends every documented field to every backend and holds the
// table in docs/compatibility.md to what became of it.
func TestRequestFields(t *testing.T) {
	backends := append([]string{"echo"}, realBackends...)
	cells := make([][][]string, len(endpoints))
	var wg sync.WaitGroup
	for i, e := range endpoints {
		cells[i] = make([][]string, len(backends))
		for b, backend := range backends {
			wg.Go(func() { cells[i][b] = e.tryAll(t, backend) })
		}
	}
	wg.Wait()
	var page strings.Builder
	for i, e := range endpoints {
		rows := [][]string{append([]string{"field"}, backends...)}
		for j, f := range e.fields {
			row := []string{f.label()}
			for b := range backends {
				row = append(row, cells[i][b][j])
			}
			rows = append(rows, row)
		}
		fmt.Fprintf(&page, "\n### %s\n\n%s", e.title, doctable.Table(rows))
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	doctable.Check(t, filepath.Join(root, "docs", "compatibility.md"), "fields", page.String()+"\n")
}

// tryAll sends all fields to a backend, one after the other. Rows that leave the same
// request without their field share what became of it.
func (e endpoint) tryAll(t *testing.T, backend string) (cells []string) {
	plain := map[string]probe{}
	without := func(f field) (probe, error) {
		key := fmt.Sprintf("%q %q %v", f.say, f.echo, f.body)
		p, ok := plain[key]
		if !ok {
			var err error
			if p, err = e.send(t, backend, f, false); err != nil {
				return p, err
			}
			plain[key] = p
		}
		p.value = f.on(backend)
		return p, nil
	}
	for _, f := range e.fields {
		cells = append(cells, e.try(t, backend, f, without))
	}
	return cells
}

// try sends one field and says in the table's words what became of it; without does
// the same request without the field.
func (e endpoint) try(t *testing.T, backend string, f field, without func(field) (probe, error)) string {
	what := fmt.Sprintf("%s %s %s", e.path, f.label(), backend)
	p, err := e.send(t, backend, f, true)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return "?"
	}
	ignored := strings.Split(p.header.Get("X-Clinvk-Ignored"), ", ")
	named := slices.ContainsFunc(ignored, func(s string) bool { return s == f.name || strings.HasPrefix(s, f.name+".") })
	seen := p.status == http.StatusOK && f.seen != nil && f.seen(p)
	if seen && !f.usual {
		p, err := without(f)
		if err != nil {
			t.Errorf("%s: without it: %v", what, err)
		}
		seen = !f.seen(p)
	}
	switch {
	case p.status >= http.StatusInternalServerError:
		t.Errorf("%s: status %d: %s", what, p.status, p.raw)
		return fmt.Sprint(p.status)
	case p.status != http.StatusOK:
		return fmt.Sprintf("%d `%s`", p.status, p.reason())
	case named && seen:
		t.Errorf("%s: said to be ignored, and has an effect", what)
		return "?"
	case named:
		return "ignored"
	case seen:
		return "honoured"
	case f.harmless:
		return "no effect"
	}
	return "carried out"
}

// place sets a field, which may be within others ("a.b"); the text PROMPT in a value
// is the prompt.
func place(body object, name string, value any, prompt string) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	quoted, err := json.Marshal(prompt)
	if err != nil {
		panic(err)
	}
	var v any
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte(`"PROMPT"`), quoted), &v); err != nil {
		panic(err)
	}
	for {
		outer, inner, nested := strings.Cut(name, ".")
		if !nested {
			body[name] = v
			return
		}
		o, ok := body[outer].(object)
		if !ok {
			o = object{}
			body[outer] = o
		}
		body, name = o, inner
	}
}

// request makes the body, with the field or without, and a word to find it again.
func (e endpoint) request(backend string, f field, with bool) (body object, word string) {
	say := f.say
	if say == "" {
		say = "one two three"
	}
	word = nonce()
	model, prompt := backend, word+" [[text=b64:"+base64.StdEncoding.EncodeToString([]byte(say))+"]]"
	if backend == "echo" {
		prompt = say
		if f.echo != "" {
			model = "echo/" + f.echo
		}
	}
	body = e.body(model, prompt)
	for name, value := range f.body {
		place(body, name, value, prompt)
	}
	if with {
		place(body, f.name, f.on(backend), prompt)
	}
	return body, word
}

// send asks, with the field or without.
func (e endpoint) send(t *testing.T, backend string, f field, with bool) (probe, error) {
	body, word := e.request(backend, f, with)
	p, err := e.post(t, body)
	p.backend, p.value = backend, f.on(backend)
	if err != nil || backend == "echo" {
		return p, err
	}
	if calls := shared.upstream(backend).find(word); len(calls) > 0 {
		p.upRaw = string(calls[0].Body)
		err = json.Unmarshal(calls[0].Body, &p.sent)
	}
	return p, err
}

// post sends a body and reads what is answered.
func (e endpoint) post(t *testing.T, body object) (probe, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return probe{}, err
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, shared.server.URL+e.path, bytes.NewReader(text))
	if err != nil {
		return probe{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return probe{}, err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		return probe{}, err
	}
	p := probe{status: response.StatusCode, header: response.Header, raw: string(raw)}
	if response.Header.Get("Content-Type") == "application/json" {
		err = json.Unmarshal(raw, &p.body)
	}
	return p, err
}

// walk looks for a member in a JSON value, at any depth.
func walk(v any, match func(key string, value any) bool) bool {
	switch v := v.(type) {
	case object:
		for key, value := range v {
			if match(key, value) || walk(value, match) {
				return true
			}
		}
	case []any:
		for _, value := range v {
			if walk(value, match) {
				return true
			}
		}
	}
	return false
}

// told says that one of the members reached the model API with that value.
func told(value any, keys ...string) func(probe) bool {
	return func(p probe) bool {
		return walk(p.sent, func(key string, v any) bool { return slices.Contains(keys, key) && fmt.Sprint(v) == fmt.Sprint(value) })
	}
}

// effort says that the value reached the model API as the effort of reasoning.
func effort(p probe) bool {
	return told(p.value, "effort")(p) || told(strings.ToUpper(fmt.Sprint(p.value)), "thinkingLevel")(p)
}

// reached says that a text reached the model API.
func reached(text string) func(probe) bool {
	return func(p probe) bool { return strings.Contains(p.upRaw, text) }
}

// answered says that a member of the answer has that value.
func answered(key string, value any) func(probe) bool {
	return func(p probe) bool {
		return walk(p.body, func(k string, v any) bool { return k == key && fmt.Sprint(v) == fmt.Sprint(value) })
	}
}

// either effect will do.
func either(effects ...func(probe) bool) func(probe) bool {
	return func(p probe) bool {
		return slices.ContainsFunc(effects, func(seen func(probe) bool) bool { return seen(p) })
	}
}

// inStream says that the answer is a stream that holds a text.
func inStream(text string) func(probe) bool {
	return func(p probe) bool {
		return p.header.Get("Content-Type") == "text/event-stream" && strings.Contains(p.raw, text)
	}
}

// calls says that the answer calls a tool, or that it does not.
func calls(want bool) func(probe) bool {
	return func(p probe) bool { return p.backend == "echo" && strings.Contains(p.raw, `"`+toolName+`"`) == want }
}

// forced says that the model API was told about the choice of a tool.
func forced(kinds ...string) func(probe) bool {
	return func(p probe) bool {
		return walk(p.sent, func(key string, v any) bool {
			kind, ok := v.(string)
			if o, isObject := v.(object); isObject {
				kind, ok = o["type"].(string)
			}
			return ok && (key == "tool_choice" || key == "mode") && slices.Contains(kinds, strings.ToLower(kind))
		})
	}
}

// What the values of the rows are made of.
const (
	toolName = "zebra_tool"
	// property occurs nowhere but in schemas of answers.
	property = "zebraCount"
	// pixel is a PNG.
	pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	// page is a PDF, as far as the servers between look.
	page = "JVBERi0xLjQKJSVFT0YK"
)

var fieldAnswerSchema = object{
	"type": "object", "properties": object{property: object{"type": "integer"}}, "required": []string{property}, "additionalProperties": false,
}

// structured is an answer of that schema.
const structured = `{"zebraCount":3}`

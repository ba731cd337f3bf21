package openai

import (
	"encoding/json"

	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// decodeChat reads the body of a POST /chat/completions. The error names the field
// that is wrong: *wire.Error.
func decodeChat(body []byte) (*request, error) {
	q, r, err := readRequest(body)
	if err != nil {
		return nil, err
	}
	if q.turn.System, q.turn.Messages, err = decodeMessages(r.Get("messages")); err != nil {
		return nil, err
	}
	if n := r.Int(fieldMaxCompletionTokens, 1); n != nil {
		q.turn.Sampling.MaxOutputTokens, q.maxTokens = n, fieldMaxCompletionTokens
	}
	q.turn.Sampling.ReasoningEffort = r.Word("reasoning_effort")
	r.Fail(q.decodeTools(r.Object))
	r.Fail(q.decodeFunctions(r.Object))
	if v := r.Get("parallel_tool_calls"); !v.IsNull() && !r.Bool("parallel_tool_calls") {
		q.turn.SingleCall = true
	}
	r.Fail(q.decodeFormat(r.Get("response_format")))
	q.treat(r, chatFields)
	return q, r.Err()
}

// anyObject is the schema of JSON mode.
const anyObject = `{"type":"object"}`

// decodeFormat maps response_format to a schema; text is none.
func (q *request) decodeFormat(v wire.Value) error {
	if v.IsNull() {
		return nil
	}
	o, err := v.Object()
	if err != nil {
		return err
	}
	kind, err := o.Get("type").String()
	if err != nil {
		return err
	}
	switch kind {
	case "text":
		return nil
	case "json_object":
		q.turn.OutputSchema = json.RawMessage(anyObject)
		return nil
	case "json_schema":
		return q.decodeSchema(o.Get("json_schema"))
	}
	return o.Get("type").Unknown("text", "json_object", "json_schema")
}

// decodeSchema reads a named schema. An answer is always held to it, strict or not,
// and its name says nothing to a backend, so that it may be missing.
func (q *request) decodeSchema(v wire.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	r := wire.Read(o)
	r.String("name")
	r.String("description")
	r.Bool("strict")
	q.turn.OutputSchema = json.RawMessage(anyObject)
	if schema := r.Get("schema"); !schema.IsNull() {
		q.turn.OutputSchema, err = schema.Schema()
		r.Fail(err)
	}
	return r.Err()
}

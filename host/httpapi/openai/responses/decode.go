package responses

import (
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// request is a decoded POST /responses.
type request struct {
	turn               engine.Turn
	stream, background bool
	// store is nil when the client did not say.
	store *bool
	// previous is the id of the response to continue; empty: none.
	previous string
	// encrypted says that reasoning is given out so that it can be given back.
	encrypted bool
	// input is what the client sent, as an array of items with ids still missing.
	input, instructions wire.Value
	// settings are the members of the answer that repeat the request.
	settings json.RawMessage
	tools    toolSet
	// own is how many of the turn's tools are the request's; the rest are of items.
	own int
	// ignored lists what the client asked for that no backend can do and that does
	// little harm.
	ignored []string
	// unknown is a field that is not OpenAI's; empty: there is none.
	unknown string
}

// Bounds of OpenAI's own API.
const (
	maxTemperature = 2
	maxTools       = 1024
	maxIncludes    = 64
)

// includeReasoning asks for reasoning that can be given back.
const includeReasoning = "reasoning.encrypted_content"

// decode reads all of a body but the conversation: see converse. The error names the
// field that is wrong: *wire.Error.
func decode(body []byte) (*request, error) {
	root, err := wire.Parse(body)
	if err != nil {
		return nil, err
	}
	o, err := root.Object()
	if err != nil {
		return nil, err
	}
	q := &request{tools: toolSet{}, input: o.Get("input"), instructions: o.Get("instructions")}
	if q.turn.Model, err = o.Get("model").NonEmpty(); err != nil {
		return nil, err
	}
	r := wire.Read(o)
	q.stream, q.background = r.Bool("stream"), r.Bool("background")
	if v := r.Get("store"); !v.IsNull() {
		store := r.Bool("store")
		q.store = &store
	}
	if q.background && q.store != nil && !*q.store {
		r.Fail(r.Get("background").Errorf("needs store: the answer is fetched later"))
	}
	if q.previous = r.String("previous_response_id"); q.previous == "" && q.input.IsNull() {
		r.Fail(q.input.Errorf("is required"))
	}
	q.encrypted = slices.Contains(r.Strings("include", maxIncludes), includeReasoning)
	q.decodeSampling(r)
	r.Fail(q.decodeTools(o))
	r.Fail(q.decodeText(r.Get("text")))
	refuse(r)
	q.ignore(r)
	q.unknown = o.Unknown(func(name string) bool { return slices.Contains(known, name) })
	if r.Err() != nil {
		return nil, r.Err()
	}
	q.settings = settings(r)
	return q, nil
}

func (q *request) decodeSampling(r *wire.Reader) {
	s := &q.turn.Sampling
	s.MaxOutputTokens = r.Int("max_output_tokens", 1)
	s.Temperature = r.Float("temperature", 0, maxTemperature)
	s.TopP = r.Float("top_p", 0, 1)
	v := r.Get("reasoning")
	if v.IsNull() {
		return
	}
	o, err := v.Object()
	if err != nil {
		r.Fail(err)
		return
	}
	reasoning := wire.Read(o)
	s.ReasoningEffort = reasoning.Word("effort")
	reasoning.Word("summary")
	reasoning.Word("generate_summary")
	r.Fail(reasoning.Err())
}

// decodeText maps text.format to a schema; text is none.
func (q *request) decodeText(v wire.Value) error {
	if v.IsNull() {
		return nil
	}
	text, err := v.Object()
	if err != nil {
		return err
	}
	if verbosity, err := text.Get("verbosity").OptionalString(); err != nil {
		return err
	} else if verbosity != "" && verbosity != "medium" {
		q.ignored = append(q.ignored, "text.verbosity")
	}
	if text.Get("format").IsNull() {
		return nil
	}
	format, err := text.Get("format").Object()
	if err != nil {
		return err
	}
	kind, err := format.Get("type").String()
	if err != nil {
		return err
	}
	switch kind {
	case "text":
		return nil
	case "json_object":
		q.turn.OutputSchema = json.RawMessage(`{"type":"object"}`)
		return nil
	case "json_schema":
		q.turn.OutputSchema, err = format.Get("schema").Schema()
		return err
	}
	return format.Get("type").Unknown("text", "json_object", "json_schema")
}

// known lists all fields of a request.
var known = []string{
	"access_programs", "background", "client_metadata", "context_management", "conversation", "include", "input", "instructions", "max_output_tokens",
	"max_tool_calls", "metadata", "model", "moderation", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key",
	"prompt_cache_options", "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream",
	"stream_options", "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user",
}

// refuse fails for what would change the answer in a way that nothing here can do.
func refuse(r *wire.Reader) {
	if n := r.Int("top_logprobs", 0); n != nil && *n > 0 {
		r.Fail(r.Get("top_logprobs").Errorf("must be 0: the backends do not tell probabilities"))
	}
	for _, f := range []struct{ name, instead string }{
		{"prompt", "send its text as input and instructions"},
		{"conversation", "continue a response with previous_response_id"},
	} {
		if v := r.Get(f.name); !v.IsNull() {
			r.Fail(v.Errorf("is not supported; %s", f.instead))
		}
	}
}

// ignore checks the types of fields without effect, and notes those of which a client
// may notice that.
func (q *request) ignore(r *wire.Reader) {
	for _, name := range []string{"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"} {
		r.String(name)
	}
	r.Objects("stream_options", "client_metadata")
	if v := r.Get("metadata"); !v.IsNull() {
		r.Fail(v.Labels())
	}
	switch r.String("truncation") {
	case "", "disabled":
	case "auto":
		q.ignored = append(q.ignored, "truncation")
	default:
		r.Fail(r.Get("truncation").Unknown("auto", "disabled"))
	}
	if r.Int("max_tool_calls", 1) != nil {
		q.ignored = append(q.ignored, "max_tool_calls")
	}
	if v := r.Get("parallel_tool_calls"); !r.Bool("parallel_tool_calls") && !v.IsNull() {
		q.turn.SingleCall = true
	}
}

// repeated lists the members of an answer that repeat the request, with what they are
// when the request does not say.
var repeated = []struct{ name, otherwise string }{
	{"instructions", "null"}, {"max_output_tokens", "null"}, {"max_tool_calls", "null"}, {"metadata", "{}"},
	{"parallel_tool_calls", "true"}, {"prompt_cache_key", "null"}, {"reasoning", `{"effort":null,"summary":null}`},
	{"safety_identifier", "null"}, {"service_tier", `"auto"`}, {"temperature", "null"}, {"text", `{"format":{"type":"text"}}`},
	{"tool_choice", `"auto"`}, {"tools", "[]"}, {"top_logprobs", "0"}, {"top_p", "null"}, {"truncation", `"disabled"`}, {"user", "null"},
}

func settings(r *wire.Reader) json.RawMessage {
	b := []byte("{")
	for i, m := range repeated {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, m.name), ':')
		if v := r.Get(m.name); !v.IsNull() {
			b = append(b, v.Compact()...)
		} else {
			b = append(b, m.otherwise...)
		}
	}
	return append(b, '}')
}

// words translates the engine's names of fields into those of the request.
func (q *request) words(names []string) []string {
	out := make([]string, 0, len(names)+len(q.ignored))
	for _, name := range names {
		if name == engine.FieldReasoningEffort {
			name = "reasoning.effort"
		}
		out = append(out, name)
	}
	return append(out, q.ignored...)
}

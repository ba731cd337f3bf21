package openai

import (
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// chatRequest is a decoded POST /chat/completions.
type chatRequest struct {
	turn         engine.Turn
	stream       bool
	includeUsage bool
	// ignored lists what the client asked for that no backend can do and that does
	// little harm.
	ignored []string
	// maxTokens is the name under which the client gave its limit.
	maxTokens string
}

// Bounds of OpenAI's own API.
const (
	maxStop        = 4
	maxTemperature = 2
	maxPenalty     = 2
	maxTools       = 1024
)

// decodeChat reads the body of a POST /chat/completions. The error names the field
// that is wrong: *wire.Error.
func decodeChat(body []byte) (*chatRequest, error) {
	root, err := wire.Parse(body)
	if err != nil {
		return nil, err
	}
	o, err := root.Object()
	if err != nil {
		return nil, err
	}
	q := &chatRequest{maxTokens: fieldMaxTokens}
	if q.turn.Model, err = o.Get("model").NonEmpty(); err != nil {
		return nil, err
	}
	if q.turn.System, q.turn.Messages, err = decodeMessages(o.Get("messages")); err != nil {
		return nil, err
	}
	r := wire.Read(o)
	q.stream = r.Bool("stream")
	q.decodeStreamOptions(r)
	q.decodeSampling(r)
	r.Fail(q.decodeTools(o))
	r.Fail(q.decodeFormat(o.Get("response_format")))
	q.refuse(r)
	q.ignore(r)
	if r.Err() != nil {
		return nil, r.Err()
	}
	return q, nil
}

func (q *chatRequest) decodeStreamOptions(r *wire.Reader) {
	v := r.Get("stream_options")
	if v.IsNull() {
		return
	}
	o, err := v.Object()
	if err != nil {
		r.Fail(err)
		return
	}
	q.includeUsage, err = o.Get("include_usage").Bool()
	r.Fail(err)
}

// Names of the limit on the answer's length.
const (
	fieldMaxTokens           = "max_tokens"
	fieldMaxCompletionTokens = "max_completion_tokens"
)

func (q *chatRequest) decodeSampling(r *wire.Reader) {
	s := &q.turn.Sampling
	s.MaxOutputTokens = r.Int(fieldMaxTokens, 1)
	if n := r.Int(fieldMaxCompletionTokens, 1); n != nil {
		s.MaxOutputTokens, q.maxTokens = n, fieldMaxCompletionTokens
	}
	s.Temperature = r.Float("temperature", 0, maxTemperature)
	s.TopP = r.Float("top_p", 0, 1)
	s.PresencePenalty = r.Float("presence_penalty", -maxPenalty, maxPenalty)
	s.FrequencyPenalty = r.Float("frequency_penalty", -maxPenalty, maxPenalty)
	s.Seed = r.Int("seed", -1<<63)
	s.ReasoningEffort = r.Word("reasoning_effort")
	if v := r.Get("stop"); v.IsString() {
		stop, err := v.NonEmpty()
		r.Fail(err)
		s.Stop = []string{stop}
	} else {
		s.Stop = r.Strings("stop", maxStop)
	}
}

// decodeFormat maps response_format to a schema; text is none.
func (q *chatRequest) decodeFormat(v wire.Value) error {
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
		q.turn.OutputSchema = json.RawMessage(`{"type":"object"}`)
		return nil
	case "json_schema":
		format, err := o.Get("json_schema").Object()
		if err != nil {
			return err
		}
		if format.Get("schema").IsNull() {
			q.turn.OutputSchema = json.RawMessage(`{"type":"object"}`)
			return nil
		}
		q.turn.OutputSchema, err = format.Get("schema").Schema()
		return err
	}
	return o.Get("type").Unknown("text", "json_object", "json_schema")
}

// refuse fails for what would change the answer in a way that nothing here can do.
func (q *chatRequest) refuse(r *wire.Reader) {
	if n := r.Int("n", 1); n != nil && *n > 1 {
		r.Fail(r.Get("n").Errorf("must be 1: only one choice can be generated"))
	}
	if r.Bool("logprobs") {
		r.Fail(r.Get("logprobs").Errorf("must be false: the backends do not tell probabilities"))
	}
	if n := r.Int("top_logprobs", 0); n != nil && *n > 0 {
		r.Fail(r.Get("top_logprobs").Errorf("must be 0: the backends do not tell probabilities"))
	}
	if modalities := r.Strings("modalities", 8); slices.ContainsFunc(modalities, func(m string) bool { return m != "text" }) {
		r.Fail(r.Get("modalities").Errorf(`must be ["text"]: other modalities are not supported`))
	}
	for _, f := range []struct{ name, instead string }{
		{"functions", "use tools"},
		{"function_call", "use tool_choice"},
		{"web_search_options", "give the model a tool that searches"},
	} {
		if v := r.Get(f.name); !v.IsNull() {
			r.Fail(v.Errorf("is not supported; %s", f.instead))
		}
	}
}

// ignore checks the types of fields without effect, and notes those of which a client
// may notice that.
func (q *chatRequest) ignore(r *wire.Reader) {
	for _, name := range []string{"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"} {
		r.String(name)
	}
	r.Objects("metadata", "logit_bias", "prediction", "audio")
	r.Bool("store")
	r.String("verbosity")
	for _, name := range []string{"logit_bias", "verbosity", "prediction"} {
		if v := r.Get(name); !v.IsNull() && string(v.Compact()) != "{}" {
			q.ignored = append(q.ignored, name)
		}
	}
	if v := r.Get("parallel_tool_calls"); !r.Bool("parallel_tool_calls") && !v.IsNull() && len(q.turn.Tools) > 0 {
		q.ignored = append(q.ignored, "parallel_tool_calls")
	}
}

// words translates the engine's names of fields into those of the request.
func (q *chatRequest) words(names []string) []string {
	out := make([]string, 0, len(names)+len(q.ignored))
	for _, name := range names {
		if name == engine.FieldMaxOutputTokens {
			name = q.maxTokens
		}
		out = append(out, name)
	}
	return append(out, q.ignored...)
}

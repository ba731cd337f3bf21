package anthropic

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// messagesRequest is a decoded POST /v1/messages.
type messagesRequest struct {
	terms  terms
	turn   engine.Turn
	stream bool
	// thinking says that the client wants to see blocks of reasoning; without being
	// asked Anthropic sends none, and clients take the first block for the text.
	thinking bool
	// adaptive says that the effort is not the client's own word.
	adaptive bool
	// omitted says that those blocks are to carry their signature only.
	omitted bool
	// ignored lists what the client asked for that no backend can do and that does
	// little harm.
	ignored []string
	// unknown is a field that is not Anthropic's; empty: there is none.
	unknown string
	// withheld are the names of tools that are not offered to the model.
	withheld []string
}

// Bounds.
const (
	maxTools = 1024
	maxStop  = 64
	// minThinking is the least budget of reasoning, in tokens.
	minThinking = 1024
)

// decodeMessages reads the body of a POST /v1/messages, or of a count of its tokens,
// which has no max_tokens. The error names the field that is wrong: *wire.Error.
func decodeMessages(body []byte, t terms) (*messagesRequest, error) {
	root, err := wire.Parse(body)
	if err != nil {
		return nil, err
	}
	o, err := root.Object()
	if err != nil {
		return nil, err
	}
	q := &messagesRequest{terms: t}
	if q.turn.Model, err = o.Get("model").NonEmpty(); err != nil {
		return nil, err
	}
	if err = q.decodeConversation(o.Get("system"), o.Get("messages")); err != nil {
		return nil, err
	}
	r := wire.Read(o)
	if !t.count {
		q.decodeSampling(r)
		q.stream = r.Bool("stream")
	}
	r.Fail(q.decodeThinking(o.Get("thinking")))
	r.Fail(q.decodeOutput(o))
	q.adapt()
	r.Fail(q.decodeTools(o))
	q.settle(r, requestFields, "")
	q.unknown = o.Unknown(known)
	if r.Err() != nil {
		return nil, r.Err()
	}
	return q, nil
}

func (q *messagesRequest) decodeSampling(r *wire.Reader) {
	s := &q.turn.Sampling
	s.MaxOutputTokens = r.Int("max_tokens", 1)
	if s.MaxOutputTokens == nil {
		r.Fail(r.Get("max_tokens").Errorf("is required"))
	}
	s.Temperature = r.Float("temperature", 0, 1)
	s.TopP = r.Float("top_p", 0, 1)
	s.TopK = r.Int("top_k", 0)
	s.Stop = r.Strings("stop_sequences", maxStop)
	if !q.terms.noSampling {
		return
	}
	for _, name := range []string{"temperature", "top_p", "top_k"} {
		if v := r.Get(name); !v.IsNull() {
			r.Fail(v.Errorf("is no parameter of this version of the API; send anthropic-version: 2023-06-01 to set it"))
		}
	}
}

// decodeThinking maps the budget of reasoning. How much there is without a budget
// ("adaptive") is up to the backend.
func (q *messagesRequest) decodeThinking(v wire.Value) error {
	if v.IsNull() {
		return nil
	}
	o, err := v.Object()
	if err != nil {
		return err
	}
	r := wire.Read(o)
	kind, err := o.Get("type").String()
	r.Fail(err)
	display := r.String("display")
	if err := r.Err(); err != nil {
		return err
	}
	q.omitted = display == "omitted"
	switch kind {
	case "enabled":
		q.thinking = true
		return q.decodeBudget(o.Get("budget_tokens"))
	case "adaptive":
		q.thinking, q.adaptive = true, true
	case "between_tools":
		q.thinking = true
	case "disabled":
		none := int64(0)
		q.turn.Sampling.ReasoningTokens = &none
	default:
		return o.Get("type").Unknown("enabled", "disabled", "adaptive", "between_tools")
	}
	return nil
}

// adapt gives thinking without a budget the effort that Anthropic's API has for it:
// how much there is, is up to the backend.
func (q *messagesRequest) adapt() {
	s := &q.turn.Sampling
	if q.adaptive = q.adaptive && s.ReasoningEffort == ""; q.adaptive {
		s.ReasoningEffort = defaultEffort
	}
}

// defaultEffort is that of Anthropic's API.
const defaultEffort = "high"

func (q *messagesRequest) decodeBudget(v wire.Value) error {
	budget, err := v.Int(minThinking)
	if err != nil {
		return err
	}
	if budget == nil {
		return v.Errorf("is required")
	}
	if limit := q.turn.Sampling.MaxOutputTokens; limit != nil && *budget >= *limit && !q.terms.interleaved {
		return v.Errorf("must be less than max_tokens, which is %d", *limit)
	}
	q.turn.Sampling.ReasoningTokens = budget
	return nil
}

// outputFields are those of output_config.
var outputFields = []requestField{
	{name: "effort"},
	{name: "format"},
	{name: "task_budget", treatment: noted, kind: "object"},
}

// decodeOutput reads effort and the schema of the answer, which was a field of its
// own before it was part of output_config.
func (q *messagesRequest) decodeOutput(o wire.Object) error {
	if err := q.decodeFormat(o.Get("output_format")); err != nil {
		return err
	}
	v := o.Get("output_config")
	if v.IsNull() {
		return nil
	}
	config, err := v.Object()
	if err != nil {
		return err
	}
	r := wire.Read(config)
	q.turn.Sampling.ReasoningEffort = r.Word("effort")
	r.Fail(q.decodeFormat(config.Get("format")))
	q.settle(r, outputFields, "output_config.")
	return r.Err()
}

func (q *messagesRequest) decodeFormat(v wire.Value) error {
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
	if kind != "json_schema" {
		return o.Get("type").Unknown("json_schema")
	}
	q.turn.OutputSchema, err = o.Get("schema").Schema()
	return err
}

// Anthropic's names of fields.
var fields = map[string]string{
	engine.FieldMaxOutputTokens: "max_tokens",
	engine.FieldStop:            "stop_sequences",
	engine.FieldReasoningTokens: "thinking.budget_tokens",
	engine.FieldReasoningEffort: "output_config.effort",
	"response_format":           "output_config.format",
}

// field translates the engine's name of a field.
func field(name string) string {
	if f, ok := fields[name]; ok {
		return f
	}
	return name
}

// words translates the engine's names of fields and adds what is ignored anyway.
func (q *messagesRequest) words(names []string) []string {
	out := make([]string, 0, len(names)+len(q.ignored))
	for _, name := range names {
		disabled := q.turn.Sampling.ReasoningTokens != nil && *q.turn.Sampling.ReasoningTokens == 0
		if name == engine.FieldReasoningEffort && q.adaptive || name == engine.FieldReasoningTokens && disabled {
			out = append(out, "thinking")
			continue
		}
		out = append(out, field(name))
	}
	return append(out, q.ignored...)
}

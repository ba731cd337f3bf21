package anthropic

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// messagesRequest is a decoded POST /v1/messages.
type messagesRequest struct {
	turn   engine.Turn
	stream bool
	// thinking says that the client wants to see blocks of reasoning; without being
	// asked Anthropic sends none, and clients take the first block for the text.
	thinking bool
	// omitted says that those blocks are to carry their signature only.
	omitted bool
	// ignored lists what the client asked for that no backend can do and that does
	// little harm.
	ignored []string
}

// Bounds.
const (
	maxTools = 1024
	maxStop  = 64
)

// decodeMessages reads the body of a POST /v1/messages. The error names the field
// that is wrong: *wire.Error.
func decodeMessages(body []byte) (*messagesRequest, error) {
	root, err := wire.Parse(body)
	if err != nil {
		return nil, err
	}
	o, err := root.Object()
	if err != nil {
		return nil, err
	}
	q := &messagesRequest{}
	if q.turn.Model, err = o.Get("model").NonEmpty(); err != nil {
		return nil, err
	}
	if q.turn.System, q.turn.Messages, err = decodeConversation(o.Get("system"), o.Get("messages")); err != nil {
		return nil, err
	}
	r := wire.Read(o)
	q.decodeSampling(r)
	r.Fail(q.decodeThinking(o.Get("thinking")))
	r.Fail(q.decodeOutput(o))
	r.Fail(q.decodeTools(o))
	q.stream = r.Bool("stream")
	q.refuse(r)
	q.ignore(r)
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
		if q.turn.Sampling.ReasoningTokens = r.Int("budget_tokens", 1); r.Err() == nil && q.turn.Sampling.ReasoningTokens == nil {
			return o.Get("budget_tokens").Errorf("is required")
		}
	case "adaptive":
		q.thinking = true
	case "disabled":
		none := int64(0)
		q.turn.Sampling.ReasoningTokens = &none
	default:
		return o.Get("type").Unknown("enabled", "disabled", "adaptive")
	}
	return r.Err()
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

// refuse fails for what would change the answer in a way that nothing here can do.
func (q *messagesRequest) refuse(r *wire.Reader) {
	if v := r.Get("container"); !v.IsNull() {
		r.Fail(v.Errorf("is not supported"))
	}
	if v := r.Get("mcp_servers"); !v.IsNull() {
		if _, err := v.Array(); err != nil {
			r.Fail(err)
		} else if v.Length() > 0 {
			r.Fail(v.Errorf("is not supported; give the model tools, or set the servers up in the CLI"))
		}
	}
}

// ignore checks the types of fields without effect, and notes those of which a client
// may notice that.
func (q *messagesRequest) ignore(r *wire.Reader) {
	r.Objects("metadata", "context_management", "cache_control")
	r.String("service_tier")
	if v := r.Get("context_management"); !v.IsNull() {
		q.ignored = append(q.ignored, "context_management")
	}
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
		out = append(out, field(name))
	}
	return append(out, q.ignored...)
}

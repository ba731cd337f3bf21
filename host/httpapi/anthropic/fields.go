package anthropic

import (
	"slices"

	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// treatment is what becomes of a field of a request.
type treatment int

const (
	// honoured fields are read by the decoder.
	honoured treatment = iota
	// harmless fields have no effect, and no client can tell.
	harmless
	// noted fields have no effect and are named in X-Clinvk-Ignored.
	noted
	// refused fields would change the answer in a way that nothing here can do.
	refused
)

// requestField is a field of the body of POST /v1/messages, or of a block of it.
type requestField struct {
	name      string
	treatment treatment
	// kind is the JSON type: object, array, string, or metadata for an object with a
	// user_id; empty: any.
	kind string
	// same is a value that is as good as none.
	same string
	// advice follows "is not supported" in the refusal.
	advice string
}

// requestFields lists every field that Anthropic's clients know, so that none is
// forgotten; others are ignored.
var requestFields = []requestField{
	{name: "model"},
	{name: "messages"},
	{name: "max_tokens"},
	{name: "system"},
	{name: "stream"},
	{name: "temperature"},
	{name: "top_p"},
	{name: "top_k"},
	{name: "stop_sequences"},
	{name: "thinking"},
	{name: "output_config"},
	{name: "output_format"},
	{name: "tools"},
	{name: "tool_choice"},

	{name: "metadata", treatment: harmless, kind: "metadata"},
	{name: "service_tier", treatment: harmless, kind: "string"},
	{name: "cache_control", treatment: harmless, kind: "object"},
	{name: "diagnostics", treatment: harmless, kind: "object"},
	{name: "billing_policy", treatment: harmless, kind: "object"},
	{name: "fallback_credit_token", treatment: harmless},

	{name: "context_management", treatment: noted, kind: "object"},
	{name: "compaction", treatment: noted, kind: "object"},
	{name: "fallbacks", treatment: noted},
	{name: "speed", treatment: noted, kind: "string", same: "standard"},

	{name: "container", treatment: refused},
	{name: "mcp_servers", treatment: refused, kind: "array", advice: "give the model tools, or set the servers up in the CLI"},
	{name: fieldThread, treatment: refused, kind: "object", advice: "send the whole conversation in messages"},
	{name: "inference_geo", treatment: refused, kind: "string", same: "global", advice: "where a model runs is up to the CLI's account"},
}

// fieldThread asks the server to hold a conversation between requests.
const fieldThread = "thread"

// known says that a field of a request is one of Anthropic's.
func known(name string) bool {
	return slices.ContainsFunc(requestFields, func(f requestField) bool { return f.name == name })
}

// settle does with fields that have no effect what the table says; path precedes
// their names in notes.
func (q *messagesRequest) settle(r *wire.Reader, fields []requestField, path string) {
	for _, f := range fields {
		v := r.Get(f.name)
		if f.treatment == honoured || v.IsNull() {
			continue
		}
		if err := f.check(v); err != nil {
			r.Fail(err)
			return
		}
		if f.absent(v) {
			continue
		}
		switch f.treatment {
		case noted:
			q.note(path + f.name)
		case refused:
			if f.advice == "" {
				r.Fail(v.Errorf("is not supported"))
			} else {
				r.Fail(v.Errorf("is not supported; %s", f.advice))
			}
		case honoured, harmless:
		}
	}
}

// check holds a value against the field's type.
func (f requestField) check(v wire.Value) (err error) {
	switch f.kind {
	case "object":
		_, err = v.Object()
	case "metadata":
		var o wire.Object
		if o, err = v.Object(); err == nil {
			_, err = o.Get("user_id").OptionalString()
		}
	case "array":
		_, err = v.Array()
	case "string":
		_, err = v.String()
	}
	return err
}

// absent says that a value asks for nothing.
func (f requestField) absent(v wire.Value) bool {
	if v.IsArray() {
		return v.Length() == 0
	}
	if !v.IsString() {
		return false
	}
	s, err := v.String()
	return err == nil && (s == "" || s == f.same)
}

// note names something that the client asked for and does not get, once.
func (q *messagesRequest) note(name string) {
	if !slices.Contains(q.ignored, name) {
		q.ignored = append(q.ignored, name)
	}
}

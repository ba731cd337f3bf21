package responses

import (
	"encoding/json"

	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// append appends the item with what there is of it; one in progress is shown empty.
func (o *openItem) append(b []byte, status string, encrypted bool) []byte {
	text := o.text.String()
	b = wire.AppendString(append(b, `{"id":`...), o.id)
	switch o.kind {
	case itemMessage:
		b = append(b, `,"type":"message","role":"assistant","content":[`...)
		if status != statusInProgress {
			b = appendText(b, text)
		}
		b = append(b, ']')
	case itemReasoning:
		b = append(b, `,"type":"reasoning","summary":[`...)
		if o.part && status != statusInProgress {
			b = appendSummary(b, text)
		}
		b = append(b, ']')
		if encrypted && len(o.signature) > 0 {
			b = wire.AppendString(append(b, `,"encrypted_content":`...), seal(o.signature, o.redacted))
		}
	case itemCall:
		b = o.appendCall(b, text)
	}
	return append(wire.AppendString(append(b, `,"status":`...), status), '}')
}

func (o *openItem) appendCall(b []byte, arguments string) []byte {
	kind, field := "function_call", "arguments"
	if o.tool.custom {
		kind, field, arguments = "custom_tool_call", "input", freeText(arguments)
	}
	b = wire.AppendString(append(b, `,"type":`...), kind)
	b = wire.AppendString(append(b, `,"call_id":`...), o.call.ID)
	b = wire.AppendString(append(b, `,"name":`...), o.tool.name)
	if o.tool.namespace != "" {
		b = wire.AppendString(append(b, `,"namespace":`...), o.tool.namespace)
	}
	b = append(wire.AppendString(append(b, ','), field), ':')
	return wire.AppendString(b, arguments)
}

func appendText(b []byte, text string) []byte {
	b = wire.AppendString(append(b, `{"type":"output_text","text":`...), text)
	return append(b, `,"annotations":[],"logprobs":[]}`...)
}

func appendSummary(b []byte, text string) []byte {
	return append(wire.AppendString(append(b, `{"type":"summary_text","text":`...), text), '}')
}

// freeText is the text of a custom tool's one argument. What has none is kept as it
// is: losing it would hide the failure.
func freeText(arguments string) string {
	var v struct{ Input *string }
	if err := json.Unmarshal([]byte(arguments), &v); err != nil || v.Input == nil {
		return arguments
	}
	return *v.Input
}

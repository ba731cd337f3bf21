package anthropic

import (
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// shape is what decides how an answer is shown.
type shape struct {
	id, model string
	thinking  bool // show blocks of reasoning
	omitted   bool // with their signature only
	beta      bool // with the keys that only the beta API has
}

func (q *messagesRequest) shape(x *engine.Execution) shape {
	return shape{id: answerID(x.ID), model: x.Model, thinking: q.thinking, omitted: q.omitted, beta: q.terms.beta}
}

// answerID makes an execution's id look like Anthropic's; who knows one knows the other.
func answerID(id string) string { return "msg_" + strings.TrimPrefix(id, "turn_") }

// stopReason is Anthropic's word for the end of a turn with so many calls.
func stopReason(reason engine.FinishReason, calls int) string {
	switch reason {
	case engine.FinishLength, engine.FinishInterrupted: // the answer was cut in both cases
		return "max_tokens"
	case engine.FinishContentFilter:
		return "refusal"
	case engine.FinishStopSequence:
		return "stop_sequence"
	case engine.FinishStop, engine.FinishToolCalls:
	}
	if calls > 0 {
		return "tool_use"
	}
	return "end_turn"
}

// appendHead appends a message's object up to its content.
func (s shape) appendHead(b []byte) []byte {
	b = wire.AppendString(append(b, `{"id":`...), s.id)
	b = wire.AppendString(append(b, `,"type":"message","role":"assistant","model":`...), s.model)
	return append(b, `,"content":[`...)
}

// encodeAnswer is a message. Every key is there: the SDKs' types say that it is,
// and null where there is nothing.
func encodeAnswer(s shape, a *engine.Answer) []byte {
	b := s.appendHead(nil)
	start, calls := len(b), 0
	for _, part := range a.Parts {
		before := len(b)
		if before > start {
			b = append(b, ',')
		}
		switch p := part.(type) {
		case engine.Text:
			b = wire.AppendString(append(b, `{"type":"text","text":`...), string(p))
			b = append(b, `,"citations":null}`...)
		case engine.ToolCall:
			calls++
			b = wire.AppendString(append(b, `{"type":"tool_use","id":`...), p.ID)
			b = wire.AppendString(append(b, `,"name":`...), p.Name)
			b = wire.AppendArguments(append(b, `,"input":`...), p.Arguments)
			b = append(b, `,"caller":{"type":"direct"}}`...)
		case engine.Reasoning:
			if !s.thinking {
				b = b[:before]
				continue
			}
			b = s.appendReasoning(b, p)
		}
	}
	b = append(b, `],"stop_reason":"`...)
	b = append(append(b, stopReason(a.Reason, calls)...), `","stop_sequence":`...)
	b = wire.AppendNullable(b, stopSequence(&a.Completed))
	b = append(b, `,"stop_details":null,"container":null,"diagnostics":null,"usage":`...)
	return append(s.appendBeta(s.appendUsage(b, a.Usage)), '}')
}

// appendBeta appends the keys that the beta API's messages have besides.
func (s shape) appendBeta(b []byte) []byte {
	if s.beta {
		b = append(b, `,"context_management":null`...)
	}
	return b
}

func stopSequence(c *engine.Completed) string {
	if c.Reason != engine.FinishStopSequence {
		return ""
	}
	return c.StopSequence
}

func (s shape) appendReasoning(b []byte, p engine.Reasoning) []byte {
	if p.Redacted {
		b = wire.AppendString(append(b, `{"type":"redacted_thinking","data":`...), encodeSignature(p.Signature))
		return append(b, '}')
	}
	text := p.Text
	if s.omitted {
		text = ""
	}
	b = wire.AppendString(append(b, `{"type":"thinking","thinking":`...), text)
	b = wire.AppendString(append(b, `,"signature":`...), encodeSignature(p.Signature))
	return append(b, '}')
}

// input is what was read and not cached: Anthropic counts the cached apart.
func input(u engine.Usage) int64 {
	return max(0, engine.Known(u.InputTokens)-engine.Known(u.CacheReadTokens)-engine.Known(u.CacheWriteTokens))
}

// appendUsage appends the usage of a message. What is unknown is 0: clients add up.
func (s shape) appendUsage(b []byte, u engine.Usage) []byte {
	b = s.appendCounts(append(b, '{'), u)
	b = wire.AppendInt(b, `,"cache_creation":{"ephemeral_5m_input_tokens":`, engine.Known(u.CacheWriteTokens))
	return append(b, `,"ephemeral_1h_input_tokens":0},"service_tier":"standard","inference_geo":null,"speed":null}`...)
}

// appendDeltaUsage appends the usage of a message_delta.
func (s shape) appendDeltaUsage(b []byte, u engine.Usage) []byte {
	return append(s.appendCounts(append(b, '{'), u), '}')
}

func (s shape) appendCounts(b []byte, u engine.Usage) []byte {
	b = wire.AppendInt(b, `"input_tokens":`, input(u))
	b = wire.AppendInt(b, `,"output_tokens":`, engine.Known(u.OutputTokens))
	b = wire.AppendInt(b, `,"cache_creation_input_tokens":`, engine.Known(u.CacheWriteTokens))
	b = wire.AppendInt(b, `,"cache_read_input_tokens":`, engine.Known(u.CacheReadTokens))
	b = wire.AppendInt(b, `,"output_tokens_details":{"thinking_tokens":`, engine.Known(u.ReasoningTokens))
	b = append(b, `},"server_tool_use":null`...)
	if s.beta {
		b = append(b, `,"iterations":null,"fallback_credit":null`...)
	}
	return b
}

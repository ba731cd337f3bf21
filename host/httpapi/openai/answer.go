package openai

import (
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// header is what an answer and all chunks of a stream have in common.
type header struct {
	id      string
	model   string
	created int64 // Unix seconds
}

func newHeader(x *engine.Execution) header {
	return header{id: answerID(x.ID), model: x.Model, created: time.Now().Unix()}
}

// answerID makes an execution's id look like OpenAI's; who knows one knows the other.
func answerID(id string) string { return "chatcmpl-" + strings.TrimPrefix(id, "turn_") }

// append appends the first members of an answer's object.
func (h header) append(b []byte, object string) []byte {
	b = wire.AppendString(append(b, `{"id":`...), h.id)
	b = append(append(append(b, `,"object":"`...), object...), '"')
	b = wire.AppendInt(b, `,"created":`, h.created)
	return wire.AppendString(append(b, `,"model":`...), h.model)
}

// finishReason is OpenAI's word for the end of a turn with so many calls.
func finishReason(reason engine.FinishReason, calls int) string {
	switch reason {
	case engine.FinishLength, engine.FinishInterrupted: // the answer was cut in both cases
		return "length"
	case engine.FinishContentFilter:
		return "content_filter"
	case engine.FinishStop, engine.FinishStopSequence, engine.FinishToolCalls:
	}
	if calls > 0 {
		return "tool_calls"
	}
	return "stop"
}

// encodeAnswer is a chat.completion.
func encodeAnswer(h header, a *engine.Answer) []byte {
	var text, reasoning strings.Builder
	var calls []engine.ToolCall
	for _, part := range a.Parts {
		switch p := part.(type) {
		case engine.Text:
			text.WriteString(string(p))
		case engine.Reasoning:
			if !p.Redacted {
				reasoning.WriteString(p.Text)
			}
		case engine.ToolCall:
			calls = append(calls, p)
		}
	}
	b := h.append(nil, "chat.completion")
	b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	if text.Len() == 0 && len(calls) > 0 {
		b = append(b, "null"...)
	} else {
		b = wire.AppendString(b, text.String())
	}
	if reasoning.Len() > 0 {
		b = wire.AppendString(append(b, `,"reasoning_content":`...), reasoning.String())
	}
	b = append(b, `,"refusal":null,"annotations":[]`...)
	for i, c := range calls {
		if i == 0 {
			b = append(b, `,"tool_calls":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendCall(b, c)
	}
	if len(calls) > 0 {
		b = append(b, ']')
	}
	b = append(b, `},"logprobs":null,"finish_reason":"`...)
	b = append(b, finishReason(a.Reason, len(calls))...)
	b = appendUsage(append(b, `"}],"usage":`...), a.Usage)
	return append(b, '}')
}

func appendCall(b []byte, c engine.ToolCall) []byte {
	b = wire.AppendString(append(b, `{"id":`...), c.ID)
	b = wire.AppendString(append(b, `,"type":"function","function":{"name":`...), c.Name)
	b = wire.AppendString(append(b, `,"arguments":`...), arguments(c.Arguments))
	return append(b, "}}"...)
}

// arguments must be JSON, also when the model wrote nothing.
func arguments(s string) string {
	if s == "" {
		return "{}"
	}
	return s
}

// appendUsage appends a usage object. What is unknown is 0: clients add up.
func appendUsage(b []byte, u engine.Usage) []byte {
	input, output := engine.Known(u.InputTokens), engine.Known(u.OutputTokens)
	b = wire.AppendInt(b, `{"prompt_tokens":`, input)
	b = wire.AppendInt(b, `,"completion_tokens":`, output)
	b = wire.AppendInt(b, `,"total_tokens":`, input+output)
	b = wire.AppendInt(b, `,"prompt_tokens_details":{"cached_tokens":`, engine.Known(u.CacheReadTokens))
	b = wire.AppendInt(b, `},"completion_tokens_details":{"reasoning_tokens":`, engine.Known(u.ReasoningTokens))
	return append(b, "}}"...)
}

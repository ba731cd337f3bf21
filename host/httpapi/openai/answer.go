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

// Prefixes of the ids of answers.
const (
	chatPrefix = "chatcmpl-"
	textPrefix = "cmpl-"
)

// newHeader makes an execution's id look like OpenAI's; who knows one knows the other.
func newHeader(x *engine.Execution, prefix string) header {
	return header{id: prefix + strings.TrimPrefix(x.ID, "turn_"), model: x.Model, created: time.Now().Unix()}
}

// append appends the first members of an answer's object.
func (h header) append(b []byte, object string) []byte {
	b = wire.AppendString(append(b, `{"id":`...), h.id)
	b = append(append(append(b, `,"object":"`...), object...), '"')
	b = wire.AppendInt(b, `,"created":`, h.created)
	return wire.AppendString(append(b, `,"model":`...), h.model)
}

// finishReason is OpenAI's word for the end of a turn with so many calls; functions
// says that they have the old form.
func finishReason(reason engine.FinishReason, functions bool, calls int) string {
	switch reason {
	case engine.FinishLength, engine.FinishInterrupted: // the answer was cut in both cases
		return "length"
	case engine.FinishContentFilter:
		return "content_filter"
	case engine.FinishStop, engine.FinishStopSequence, engine.FinishToolCalls:
	}
	switch {
	case calls > 0 && functions:
		return "function_call"
	case calls > 0:
		return "tool_calls"
	}
	return "stop"
}

// encodeAnswer is a chat.completion.
func encodeAnswer(h header, functions bool, answers []*engine.Answer) []byte {
	b := append(h.append(nil, "chat.completion"), `,"choices":[`...)
	for i, a := range answers {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendChoice(b, i, functions, a)
	}
	b = appendUsage(append(b, `],"usage":`...), total(answers))
	return append(b, '}')
}

// appendChoice appends an answer; functions says that its call has the old form.
func appendChoice(b []byte, index int, functions bool, a *engine.Answer) []byte {
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
	b = wire.AppendInt(b, `{"index":`, int64(index))
	b = append(b, `,"message":{"role":"assistant","content":`...)
	if text.Len() == 0 && len(calls) > 0 {
		b = append(b, "null"...)
	} else {
		b = wire.AppendString(b, text.String())
	}
	if reasoning.Len() > 0 {
		b = wire.AppendString(append(b, `,"reasoning_content":`...), reasoning.String())
	}
	b = append(b, `,"refusal":null,"annotations":[]`...)
	b = appendCalls(b, functions, calls)
	b = append(b, `},"logprobs":null,"finish_reason":"`...)
	b = append(b, finishReason(a.Reason, functions, len(calls))...)
	return append(b, `"}`...)
}

func appendCalls(b []byte, functions bool, calls []engine.ToolCall) []byte {
	switch {
	case len(calls) == 0:
		return b
	case functions:
		return append(appendFunction(append(b, `,"function_call":{`...), calls[0]), '}')
	}
	b = append(b, `,"tool_calls":[`...)
	for i, c := range calls {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, `{"id":`...), c.ID)
		b = append(appendFunction(append(b, `,"type":"function","function":{`...), c), "}}"...)
	}
	return append(b, ']')
}

// appendFunction appends the members of a function that is called.
func appendFunction(b []byte, c engine.ToolCall) []byte {
	b = wire.AppendString(append(b, `"name":`...), c.Name)
	return wire.AppendString(append(b, `,"arguments":`...), arguments(c.Arguments))
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

// total is the usage of all choices: each is a turn of its own, prompt and all.
func total(answers []*engine.Answer) (u engine.Usage) {
	for _, a := range answers {
		u = add(u, a.Usage)
	}
	return u
}

// add sums what is shown of two usages.
func add(a, b engine.Usage) engine.Usage {
	sum := func(a, b *int64) *int64 {
		n := engine.Known(a) + engine.Known(b)
		return &n
	}
	return engine.Usage{
		InputTokens: sum(a.InputTokens, b.InputTokens), OutputTokens: sum(a.OutputTokens, b.OutputTokens),
		CacheReadTokens: sum(a.CacheReadTokens, b.CacheReadTokens), ReasoningTokens: sum(a.ReasoningTokens, b.ReasoningTokens),
	}
}

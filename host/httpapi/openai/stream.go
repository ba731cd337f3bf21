package openai

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// stream is a chat.completion in chunks. It implements httpapi.ChoiceEncoder.
type stream struct {
	chunks
	functions bool // calls have the old form
	choices   []chatChoice
}

// chatChoice is one choice of a stream.
type chatChoice struct {
	open  []byte // every chunk up to its delta
	calls []callState
}

// callState is a call of the client's; its place in the list is its index.
type callState struct {
	id      string
	written bool // some of its arguments were sent
}

func newStream(h header, q *request) *stream {
	s := &stream{chunks: newChunks(h, "chat.completion.chunk", q), functions: q.functions}
	for i := range q.choices() {
		open := wire.AppendInt(append([]byte(nil), s.head...), `{"index":`, int64(i))
		s.choices = append(s.choices, chatChoice{open: append(open, `,"delta":{`...)})
	}
	return s
}

// Begin tells the role in all choices.
func (s *stream) Begin(b []byte) []byte {
	for i := range s.choices {
		b = s.close(append(append(b, s.choices[i].open...), `"role":"assistant","content":"","refusal":null`...))
	}
	return b
}

// Event appends the chunks of one event.
func (s *stream) Event(b []byte, choice int, ev engine.Event) []byte {
	c := &s.choices[choice]
	switch v := ev.(type) {
	case *engine.TextDelta:
		return s.close(wire.AppendString(append(append(b, c.open...), `"content":`...), v.Text))
	case *engine.ReasoningDelta:
		if v.Text == "" || v.Redacted {
			return b
		}
		return s.close(wire.AppendString(append(append(b, c.open...), `"reasoning_content":`...), v.Text))
	case *engine.ToolCallStarted:
		if v.Client {
			return s.callStarted(b, c, v)
		}
	case *engine.ToolCallDelta:
		if v.Client {
			return s.arguments(b, c, v.ID, v.Arguments)
		}
	case *engine.ToolCallDone:
		if v.Client && !c.calls[c.index(v.ID)].written {
			return s.arguments(b, c, v.ID, arguments(v.Arguments))
		}
	case *engine.Completed:
		b = append(append(b, c.open...), `},"logprobs":null,"finish_reason":"`...)
		b = append(append(b, finishReason(v.Reason, s.functions, len(c.calls))...), `"}`...)
		return s.finish(append(b, s.tail...), v.Usage)
	}
	return b
}

func (s *stream) callStarted(b []byte, c *chatChoice, v *engine.ToolCallStarted) []byte {
	i := len(c.calls)
	c.calls = append(c.calls, callState{id: v.ID})
	if s.functions {
		if i > 0 { // the old form has no place for it
			return b
		}
		b = wire.AppendString(append(append(b, c.open...), `"function_call":{"name":`...), v.Name)
		return s.close(append(b, `,"arguments":""}`...))
	}
	b = wire.AppendInt(append(b, c.open...), `"tool_calls":[{"index":`, int64(i))
	b = wire.AppendString(append(b, `,"id":`...), v.ID)
	b = wire.AppendString(append(b, `,"type":"function","function":{"name":`...), v.Name)
	return s.close(append(b, `,"arguments":""}}]`...))
}

func (s *stream) arguments(b []byte, c *chatChoice, id, piece string) []byte {
	i := c.index(id)
	c.calls[i].written = true
	if s.functions {
		if i > 0 {
			return b
		}
		b = wire.AppendString(append(append(b, c.open...), `"function_call":{"arguments":`...), piece)
		return s.close(append(b, '}'))
	}
	b = wire.AppendInt(append(b, c.open...), `"tool_calls":[{"index":`, int64(i))
	b = wire.AppendString(append(b, `,"function":{"arguments":`...), piece)
	return s.close(append(b, "}}]"...))
}

// index finds a call; the engine has started every call that it talks of.
func (c *chatChoice) index(id string) int {
	i := len(c.calls) - 1
	for i > 0 && c.calls[i].id != id {
		i--
	}
	return i
}

// close ends a chunk after its delta.
func (s *stream) close(b []byte) []byte {
	return append(append(b, `},"logprobs":null,"finish_reason":null}`...), s.tail...)
}

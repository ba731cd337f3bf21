package openai

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// stream is a chat.completion in chunks. It implements httpapi.Encoder.
type stream struct {
	usage bool // the client wants a last chunk with the usage
	// Every chunk is head, its delta, and tail.
	head, tail []byte
	calls      []callState
}

// callState is a call of the client's; its place in the list is its index.
type callState struct {
	id      string
	written bool // some of its arguments were sent
}

func newStream(h header, usage bool) *stream {
	s := &stream{usage: usage}
	s.head = append(h.append([]byte("data: "), "chat.completion.chunk"), `,"choices":[`...)
	s.tail = []byte("]}\n\n")
	if usage {
		s.tail = []byte(`],"usage":null}` + "\n\n")
	}
	return s
}

// ContentType is that of server-sent events.
func (*stream) ContentType() string { return "text/event-stream" }

// Begin tells the role.
func (s *stream) Begin(b []byte) []byte {
	return s.close(append(s.open(b), `"role":"assistant","content":"","refusal":null`...))
}

// Event appends the chunks of one event.
func (s *stream) Event(b []byte, ev engine.Event) []byte {
	switch v := ev.(type) {
	case *engine.TextDelta:
		return s.close(wire.AppendString(append(s.open(b), `"content":`...), v.Text))
	case *engine.ReasoningDelta:
		if v.Text == "" || v.Redacted {
			return b
		}
		return s.close(wire.AppendString(append(s.open(b), `"reasoning_content":`...), v.Text))
	case *engine.ToolCallStarted:
		if v.Client {
			return s.callStarted(b, v)
		}
	case *engine.ToolCallDelta:
		if v.Client {
			return s.arguments(b, v.ID, v.Arguments)
		}
	case *engine.ToolCallDone:
		if v.Client && !s.calls[s.index(v.ID)].written {
			return s.arguments(b, v.ID, arguments(v.Arguments))
		}
	case *engine.Completed:
		return s.completed(b, v)
	}
	return b
}

func (s *stream) callStarted(b []byte, v *engine.ToolCallStarted) []byte {
	b = wire.AppendInt(s.open(b), `"tool_calls":[{"index":`, int64(len(s.calls)))
	s.calls = append(s.calls, callState{id: v.ID})
	b = wire.AppendString(append(b, `,"id":`...), v.ID)
	b = wire.AppendString(append(b, `,"type":"function","function":{"name":`...), v.Name)
	return s.close(append(b, `,"arguments":""}}]`...))
}

func (s *stream) arguments(b []byte, id, piece string) []byte {
	i := s.index(id)
	s.calls[i].written = true
	b = wire.AppendInt(s.open(b), `"tool_calls":[{"index":`, int64(i))
	b = wire.AppendString(append(b, `,"function":{"arguments":`...), piece)
	return s.close(append(b, "}}]"...))
}

// index finds a call; the engine has started every call that it talks of.
func (s *stream) index(id string) int {
	i := len(s.calls) - 1
	for i > 0 && s.calls[i].id != id {
		i--
	}
	return i
}

func (s *stream) completed(b []byte, v *engine.Completed) []byte {
	b = append(append(b, s.head...), `{"index":0,"delta":{},"logprobs":null,"finish_reason":"`...)
	b = append(append(b, finishReason(v.Reason, len(s.calls))...), `"}`...)
	b = append(b, s.tail...)
	if s.usage {
		b = append(append(b, s.head...), `],"usage":`...)
		b = append(appendUsage(b, v.Usage), "}\n\n"...)
	}
	return append(b, "data: [DONE]\n\n"...)
}

// open begins a chunk, up to the first member of its delta; close ends it.
func (s *stream) open(b []byte) []byte {
	return append(append(b, s.head...), `{"index":0,"delta":{`...)
}

func (s *stream) close(b []byte) []byte {
	return append(append(b, `},"logprobs":null,"finish_reason":null}`...), s.tail...)
}

// Fail appends an error; clients take any chunk that has one for a failure.
func (*stream) Fail(b []byte, err *engine.Error) []byte {
	return append(envelopeOf(err).append(append(b, "data: "...)), "\n\n"...)
}

// Heartbeat appends a comment.
func (*stream) Heartbeat(b []byte) []byte { return append(b, ": keep-alive\n\n"...) }

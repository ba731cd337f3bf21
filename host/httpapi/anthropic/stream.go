package anthropic

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// stream is a message in events. It implements httpapi.Encoder.
type stream struct {
	shape
	usage   engine.Usage
	started bool // message_start was sent
	index   int64
	open    byte // kind of the open block: 't' text, 'r' reasoning, 'c' call, 0 none
	block   int  // the engine's number of it
	calls   int
}

func newStream(s shape) *stream { return &stream{shape: s} }

// ContentType is that of server-sent events.
func (*stream) ContentType() string { return "text/event-stream" }

// Begin appends nothing: message_start waits for the first event of the answer,
// because it tells the usage of the input, which comes before that.
func (*stream) Begin(b []byte) []byte { return b }

// Event appends what one event is on the wire.
func (s *stream) Event(b []byte, ev engine.Event) []byte {
	switch v := ev.(type) {
	case *engine.UsageEvent:
		s.usage = v.Usage
	case *engine.TextDelta:
		b = s.enter(s.start(b), 't', v.Block, `{"type":"text","text":"","citations":null}`)
		return s.delta(b, `{"type":"text_delta","text":`, v.Text)
	case *engine.ReasoningDelta:
		return s.reasoning(s.start(b), v)
	case *engine.ToolCallStarted:
		if v.Client {
			return s.callStarted(s.start(b), v)
		}
	case *engine.ToolCallDelta:
		if v.Client {
			return s.delta(b, `{"type":"input_json_delta","partial_json":`, v.Arguments)
		}
	case *engine.ToolCallDone:
		if v.Client {
			return s.leave(b)
		}
	case *engine.Completed:
		s.usage = v.Usage
		return s.completed(s.start(b), v)
	}
	return b
}

// start appends message_start, once.
func (s *stream) start(b []byte) []byte {
	if s.started {
		return b
	}
	s.started = true
	b = append(b, "event: message_start\ndata: "+`{"type":"message_start","message":`...)
	b = s.appendHead(b)
	b = append(b, `],"stop_reason":null,"stop_sequence":null,"stop_details":null,"container":null,"diagnostics":null,"usage":`...)
	return append(s.appendBeta(s.appendUsage(b, s.usage)), "}}\n\n"...)
}

// enter makes (kind, number) the open block; content is what it starts with.
func (s *stream) enter(b []byte, kind byte, number int, content string) []byte {
	if s.open == kind && s.block == number {
		return b
	}
	b = s.leave(b)
	s.open, s.block = kind, number
	b = wire.AppendInt(append(b, "event: content_block_start\ndata: "...), `{"type":"content_block_start","index":`, s.index)
	b = append(append(b, `,"content_block":`...), content...)
	return append(b, "}\n\n"...)
}

// leave ends the open block, if there is one.
func (s *stream) leave(b []byte) []byte {
	if s.open == 0 {
		return b
	}
	s.open = 0
	b = wire.AppendInt(append(b, "event: content_block_stop\ndata: "...), `{"type":"content_block_stop","index":`, s.index)
	s.index++
	return append(b, "}\n\n"...)
}

// delta appends to the open block; head is the delta up to its text.
func (s *stream) delta(b []byte, head, text string) []byte {
	b = wire.AppendInt(append(b, "event: content_block_delta\ndata: "...), `{"type":"content_block_delta","index":`, s.index)
	b = append(append(b, `,"delta":`...), head...)
	return append(wire.AppendString(b, text), "}}\n\n"...)
}

func (s *stream) reasoning(b []byte, v *engine.ReasoningDelta) []byte {
	if !s.thinking {
		return b
	}
	if v.Redacted {
		data := s.appendReasoning(nil, engine.Reasoning{Signature: v.Signature, Redacted: true})
		return s.leave(s.enter(b, 'x', v.Block, string(data)))
	}
	b = s.enter(b, 'r', v.Block, `{"type":"thinking","thinking":"","signature":""}`)
	if v.Text != "" && !s.omitted {
		b = s.delta(b, `{"type":"thinking_delta","thinking":`, v.Text)
	}
	if len(v.Signature) > 0 {
		b = s.delta(b, `{"type":"signature_delta","signature":`, encodeSignature(v.Signature))
	}
	return b
}

func (s *stream) callStarted(b []byte, v *engine.ToolCallStarted) []byte {
	s.calls++
	block := wire.AppendString([]byte(`{"type":"tool_use","id":`), v.ID)
	block = wire.AppendString(append(block, `,"name":`...), v.Name)
	block = append(block, `,"input":{},"caller":{"type":"direct"}}`...)
	return s.enter(s.leave(b), 'c', v.Block, string(block))
}

func (s *stream) completed(b []byte, v *engine.Completed) []byte {
	b = append(s.leave(b), "event: message_delta\ndata: "+`{"type":"message_delta","delta":{"stop_reason":"`...)
	b = append(append(b, stopReason(v.Reason, s.calls)...), `","stop_sequence":`...)
	b = append(wire.AppendNullable(b, stopSequence(v)), `,"stop_details":null,"container":null},"usage":`...)
	b = append(s.appendBeta(s.appendDeltaUsage(b, v.Usage)), "}\n\n"...)
	return append(b, "event: message_stop\ndata: "+`{"type":"message_stop"}`+"\n\n"...)
}

// Fail appends an error event.
func (s *stream) Fail(b []byte, err *engine.Error) []byte {
	b = envelopeOf(err).append(append(b, "event: error\ndata: "...), "")
	return append(b, "\n\n"...)
}

// Heartbeat appends a ping, which must not come before the message has started.
func (s *stream) Heartbeat(b []byte) []byte {
	return append(s.start(b), "event: ping\ndata: "+`{"type":"ping"}`+"\n\n"...)
}

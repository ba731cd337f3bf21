package plugins

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// maxDelta bounds the text of one event, in bytes. Small events keep the HTTP/2
// window (64 KiB) useful as back-pressure.
const maxDelta = 32 << 10

// ErrTurnOver is returned by a Stream's methods after the turn's end.
var ErrTurnOver = errors.New("the turn is over")

// Stream carries the events of one turn to the host. Its methods may be called
// concurrently; they block while the client reads slowly and return an error
// when the turn is over or cancelled. Sequence numbers, block numbers, the
// splitting of long text and the one terminal event are the Stream's business.
type Stream struct {
	ctx  context.Context //nolint:containedctx // a Stream lives as long as its call
	send func(*backendv1.ExecuteResponse) error

	mu       sync.Mutex
	sequence uint64
	started  bool
	over     bool
	block    uint32
	kind     blockKind
	partial  []byte // an incomplete code point at the end of the last delta
	usage    *backendv1.Usage
	unsent   bool // usage is newer than what was sent
	finish   Finish
	sent     bool // something of the answer was sent

	approvals *approvals
}

type blockKind int

const (
	noBlock blockKind = iota
	textBlock
	reasoningBlock
)

func newStream(ctx context.Context, send func(*backendv1.ExecuteResponse) error) *Stream {
	return &Stream{ctx: ctx, send: send, approvals: newApprovals()}
}

// emit sends one event; the caller holds mu.
func (s *Stream) emit(r *backendv1.ExecuteResponse) error {
	if s.over {
		return ErrTurnOver
	}
	if err := s.ctx.Err(); err != nil {
		return context.Cause(s.ctx)
	}
	if !s.started {
		s.started = true
		switch r.Event.(type) {
		case *backendv1.ExecuteResponse_Started, *backendv1.ExecuteResponse_Failed:
			// A turn that fails at once has not started: the host may try it again.
		default:
			first := &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Started{Started: &backendv1.Started{}}}
			if err := s.number(first); err != nil {
				return err
			}
		}
	}
	if err := s.flushUsage(r); err != nil {
		return err
	}
	return s.number(r)
}

// flushUsage sends a usage that was held back; the terminal event carries it too,
// so before that one it need not be sent.
func (s *Stream) flushUsage(next *backendv1.ExecuteResponse) error {
	if !s.unsent {
		return nil
	}
	s.unsent = false
	switch next.Event.(type) {
	case *backendv1.ExecuteResponse_Completed, *backendv1.ExecuteResponse_Failed:
		return nil
	}
	return s.number(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Usage{Usage: s.usage}})
}

func (s *Stream) number(r *backendv1.ExecuteResponse) error {
	s.sequence++
	r.Sequence = s.sequence
	return s.send(r)
}

// Started says that the backend is at work, with which model (may be empty) and
// whether a live conversation was used. It is optional: otherwise it is implied
// by the first event. A second call is ignored.
func (s *Stream) Started(model string, live bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil
	}
	return s.emit(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Started{
		Started: &backendv1.Started{Model: valid(model), Live: live},
	}})
}

// Text appends to the answer. The text may end inside a code point; the rest is
// expected with the next call. Bytes that are no UTF-8 become U+FFFD.
func (s *Stream) Text(text string) error { return s.append(textBlock, text) }

// Reasoning appends to the reasoning, in the same way.
func (s *Stream) Reasoning(text string) error { return s.append(reasoningBlock, text) }

// ReasoningSignature ends the current block of reasoning with its signature.
func (s *Stream) ReasoningSignature(signature []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(reasoningBlock); err != nil {
		return err
	}
	if err := s.flushPartial(); err != nil {
		return err
	}
	err := s.emit(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ReasoningDelta{
		ReasoningDelta: &backendv1.ReasoningDelta{Block: s.block, Signature: signature},
	}})
	s.closeBlock()
	return err
}

// RedactedReasoning is a block of reasoning that the provider hides; data is its
// encrypted content.
func (s *Stream) RedactedReasoning(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.endBlock(); err != nil {
		return err
	}
	err := s.emit(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ReasoningDelta{
		ReasoningDelta: &backendv1.ReasoningDelta{Block: s.block, Signature: data, Redacted: true},
	}})
	s.block++
	return err
}

// NextBlock ends the current block, so that the next Text or Reasoning opens a
// new one. A change between the two does so by itself.
func (s *Stream) NextBlock() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endBlock()
}

func (s *Stream) append(kind blockKind, text string) error {
	if text == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(kind); err != nil {
		return err
	}
	if len(s.partial) > 0 {
		text = string(s.partial) + text
		s.partial = s.partial[:0]
	}
	if n := incomplete(text); n > 0 {
		s.partial = append(s.partial, text[len(text)-n:]...)
		text = text[:len(text)-n]
	}
	return s.emitText(valid(text))
}

// emitText sends valid text of the current block in pieces; the caller holds mu.
func (s *Stream) emitText(text string) error {
	for len(text) > 0 {
		piece := text
		if len(piece) > maxDelta {
			n := maxDelta
			for !utf8.RuneStart(piece[n]) {
				n--
			}
			piece = piece[:n]
		}
		text = text[len(piece):]
		s.sent = true
		r := &backendv1.ExecuteResponse{}
		if s.kind == reasoningBlock {
			r.Event = &backendv1.ExecuteResponse_ReasoningDelta{ReasoningDelta: &backendv1.ReasoningDelta{Block: s.block, Text: piece}}
		} else {
			r.Event = &backendv1.ExecuteResponse_TextDelta{TextDelta: &backendv1.TextDelta{Block: s.block, Text: piece}}
		}
		if err := s.emit(r); err != nil {
			return err
		}
	}
	return nil
}

// open makes kind the current block; the caller holds mu.
func (s *Stream) open(kind blockKind) error {
	if s.kind == kind {
		return nil
	}
	if err := s.endBlock(); err != nil {
		return err
	}
	s.kind = kind
	return nil
}

// endBlock ends the current block, if any; the caller holds mu.
func (s *Stream) endBlock() error {
	if s.kind == noBlock {
		return nil
	}
	err := s.flushPartial()
	s.closeBlock()
	return err
}

func (s *Stream) closeBlock() {
	s.kind = noBlock
	s.block++
}

// flushPartial gives up waiting for the rest of a code point.
func (s *Stream) flushPartial() error {
	if len(s.partial) == 0 {
		return nil
	}
	s.partial = s.partial[:0]
	return s.emitText("�")
}

// ToolCallStarted opens a call in a block of its own.
func (s *Stream) ToolCallStarted(id, name string, origin ToolOrigin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.endBlock(); err != nil {
		return err
	}
	s.sent = true
	err := s.emit(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallStarted{
		ToolCallStarted: &backendv1.ToolCallStarted{Block: s.block, Id: valid(id), Name: valid(name), Origin: backendv1.ToolOrigin(origin)},
	}})
	s.block++
	return err
}

// ToolCallDelta appends to the JSON text of a call's arguments.
func (s *Stream) ToolCallDelta(id, arguments string) error {
	return s.simple(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallDelta{
		ToolCallDelta: &backendv1.ToolCallDelta{Id: valid(id), ArgumentsJson: valid(arguments)},
	}})
}

// ToolCall is the complete call; it is required for each call, whether or not
// its pieces were sent.
func (s *Stream) ToolCall(call ToolCall) error {
	return s.simple(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCall{
		ToolCall: toolCallToProto(call),
	}})
}

// ToolResult is the outcome of a tool that the backend ran itself. Parts beyond 7 MiB
// are replaced by a text that says so.
func (s *Stream) ToolResult(result ToolResult) error {
	return s.simple(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolResult{
		ToolResult: toolResultToProto(result),
	}})
}

// Usage is cumulative for the turn; the last one is the turn's usage. It is sent
// with the next event.
func (s *Stream) Usage(u Usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return ErrTurnOver
	}
	s.usage, s.unsent = usageToProto(u), true
	return nil
}

// Notice is a line for people; it is not part of the answer.
func (s *Stream) Notice(severity Severity, message string) error {
	return s.simple(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Notice{
		Notice: &backendv1.Notice{Severity: backendv1.Severity(severity), Message: valid(message)},
	}})
}

// simple sends an event that stands between blocks.
func (s *Stream) simple(r *backendv1.ExecuteResponse) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.endBlock(); err != nil {
		return err
	}
	return s.emit(r)
}

// Finish sets what the terminal event says when Execute returns nil. The last
// call counts; without one the turn finishes with FinishStop.
func (s *Stream) Finish(f Finish) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish = f
}

// Answered says whether something of the answer was sent already, that is
// whether a retry would repeat it.
func (s *Stream) Answered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// end sends the terminal event, exactly one whatever happened before.
func (s *Stream) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	if flushErr := s.endBlock(); flushErr != nil && err == nil {
		err = flushErr
	}
	r := &backendv1.ExecuteResponse{}
	if err == nil {
		r, err = s.completed()
	}
	if err != nil {
		r.Event = &backendv1.ExecuteResponse_Failed{Failed: failedToProto(asError(err), s.usage)}
	}
	sendErr := s.emit(r)
	s.over = true
	return sendErr
}

func (s *Stream) completed() (*backendv1.ExecuteResponse, error) {
	f := s.finish
	if n := len(f.SessionToken); n > handshake.MaxSessionToken {
		return &backendv1.ExecuteResponse{}, fmt.Errorf("session token of %d bytes, at most %d are allowed", n, handshake.MaxSessionToken)
	}
	if f.Reason == 0 {
		f.Reason = FinishStop
	}
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{
		FinishReason: backendv1.FinishReason(f.Reason),
		StopSequence: valid(f.StopSequence),
		Usage:        s.usage,
		Model:        valid(f.Model),
		SessionToken: f.SessionToken,
		LiveToken:    f.LiveToken,
	}}}, nil
}

// valid makes text fit for a proto string.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strings.ToValidUTF8(text, "�")
}

// incomplete is the number of bytes at the end of text that begin a code point
// without ending it.
func incomplete(text string) int {
	for n := 1; n <= min(utf8.UTFMax-1, len(text)); n++ {
		b := text[len(text)-n]
		if utf8.RuneStart(b) {
			if b >= utf8.RuneSelf && !utf8.FullRuneInString(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}

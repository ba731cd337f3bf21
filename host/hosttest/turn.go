//go:build unix

package hosttest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Faults of the stream of a turn, asked for by Start.model too. None of them ends
// the process but ExitEarly.
const (
	Slow         = "slow"          // no fault: the text after 20 ms
	ExitEarly    = "exit early"    // os.Exit(6) before Started
	IgnoreCancel = "ignore cancel" // Started, then nothing, cancelled or not
	NoEnd        = "no end"        // text, then OK without a terminal event
	EndTwice     = "end twice"     // the text, then Completed two times
	AfterEnd     = "after end"     // the text, Completed, then more text
	Gap          = "gap"           // text, then text whose sequence leaves one out
	BadUTF8      = "bad utf-8"     // text that is no UTF-8
	ManyEvents   = "many events"   // 1,000,000 events of one byte, then Completed
	Endless      = "endless"       // text for ever, as fast as it goes
	EndlessCall  = "endless call"  // a call of a client's tool whose arguments do not end
	ManyNotices  = "many notices"  // 1,000,000 events that belong to no answer, then Completed
	BigEvents    = "big events"    // 100 events of 7 MB, then Completed
	HugeFailure  = "huge failure"  // Failed whose texts have 1 MB each
	HugeStatus   = "huge status"   // a gRPC status whose text has 1 MB
)

// EventsMost is how many events ManyEvents and ManyNotices send, unless the text of
// the prompt is a smaller number; BigEvents sends BigEventsMost of BigEvent bytes.
const (
	EventsMost    = 1_000_000
	BigEventsMost = 100
	BigEvent      = 7_000_000 / 3 * 3
)

// streamFault does what a turn asks for; done false: it asks for something else.
func streamFault(stream backendv1.BackendService_ExecuteServer, kind, text string) (done bool, err error) {
	s := &sender{stream: stream, sequence: 1}
	switch kind {
	case Slow:
		select {
		case <-time.After(20 * time.Millisecond):
		case <-stream.Context().Done():
			return true, stream.Context().Err()
		}
		s.text(text)
		s.completed()
	case IgnoreCancel:
		select {}
	case NoEnd:
		s.text("no end")
	case EndTwice:
		s.text(text)
		s.completed()
		s.completed()
	case AfterEnd:
		s.text(text)
		s.completed()
		s.text("too late")
	case Gap:
		s.text("before the gap")
		s.sequence++
		s.text("after the gap")
		s.completed()
	case BadUTF8:
		s.raw("\xff\xfe half a \xc3")
		s.completed()
	case ManyEvents:
		for n := 0; n < number(text) && s.err == nil; n++ {
			s.text("x")
		}
		s.completed()
	case Endless:
		for s.err == nil {
			s.text(strings.Repeat("for ever ", 100))
		}
	case EndlessCall:
		s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallStarted{ToolCallStarted: &backendv1.ToolCallStarted{
			Id: "1", Name: "tool", Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT,
		}}})
		for s.err == nil {
			s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCallDelta{ToolCallDelta: &backendv1.ToolCallDelta{
				Id: "1", ArgumentsJson: strings.Repeat(" ", 1000),
			}}})
		}
	case ManyNotices:
		for n := 0; n < number(text) && s.err == nil; n++ {
			s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Notice{Notice: &backendv1.Notice{Message: "heard"}}})
		}
		s.text(text)
		s.completed()
	case BigEvents:
		for n := 0; n < BigEventsMost && s.err == nil; n++ {
			s.text(strings.Repeat("big", BigEvent/3))
		}
		s.completed()
	case HugeFailure:
		s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Failed{Failed: &backendv1.Failed{
			Code: backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE, Message: strings.Repeat("wrong ", 200_000), StderrTail: strings.Repeat("stderr ", 150_000),
		}}})
	case HugeStatus:
		return true, status.Error(codes.Internal, strings.Repeat("wrong ", 200_000))
	default:
		return false, nil
	}
	return true, s.err
}

// number of events that a prompt asks for.
func number(text string) int {
	if n, err := strconv.Atoi(text); err == nil {
		return min(n, EventsMost)
	}
	return EventsMost
}

// earlyFault ends the process before the turn has started.
func earlyFault(kind string) {
	if kind == ExitEarly {
		fmt.Fprintln(os.Stderr, "not even started")
		os.Exit(6)
	}
}

// sender numbers events; after an error it sends nothing more.
type sender struct {
	stream   backendv1.BackendService_ExecuteServer
	sequence uint64
	err      error
}

func (s *sender) send(e *backendv1.ExecuteResponse) {
	if s.err != nil {
		return
	}
	s.sequence++
	e.Sequence = s.sequence
	s.err = s.stream.Send(e)
}

func (s *sender) text(text string) {
	s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_TextDelta{TextDelta: &backendv1.TextDelta{Text: text}}})
}

func (s *sender) completed() {
	s.send(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Completed{
		Completed: &backendv1.Completed{FinishReason: backendv1.FinishReason_FINISH_REASON_STOP},
	}})
}

// raw sends a TextDelta whatever its bytes are: the protobuf package of Go would
// refuse to, others do not. A message without fields takes the bytes as unknown.
func (s *sender) raw(text string) {
	if s.err != nil {
		return
	}
	s.sequence++
	const textField = 2 // of TextDelta
	delta := protowire.AppendTag(nil, textField, protowire.BytesType)
	delta = protowire.AppendString(delta, text)
	fields := (&backendv1.ExecuteResponse{}).ProtoReflect().Descriptor().Fields()
	event := protowire.AppendTag(nil, fields.ByName("sequence").Number(), protowire.VarintType)
	event = protowire.AppendVarint(event, s.sequence)
	event = protowire.AppendTag(event, fields.ByName("text_delta").Number(), protowire.BytesType)
	event = protowire.AppendBytes(event, delta)
	m := &emptypb.Empty{}
	m.ProtoReflect().SetUnknown(event)
	s.err = s.stream.SendMsg(m)
}

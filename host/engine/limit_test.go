package engine

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// number gives events their sequence numbers.
func number(events ...*backendv1.ExecuteResponse) []*backendv1.ExecuteResponse {
	for i, e := range events {
		e.Sequence = uint64(i + 1)
	}
	return events
}

// untilInterrupted sends events, waits for the interrupt, and ends as after says.
func untilInterrupted(t *testing.T, after executeFunc, events ...*backendv1.ExecuteResponse) executeFunc {
	return func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		for _, e := range number(events...) {
			if err := s.Send(e); err != nil {
				return err
			}
		}
		m, err := s.Recv()
		if err != nil || m.GetInterrupt() == nil {
			t.Errorf("no interrupt: %v, %v", m, err)
			return err
		}
		return after(start, s)
	}
}

// finish sends one more event.
func finish(sequence int, e *backendv1.ExecuteResponse) executeFunc {
	return func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		e.Sequence = uint64(sequence)
		return s.Send(e)
	}
}

func interrupted(output int64) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{
		FinishReason: backendv1.FinishReason_FINISH_REASON_INTERRUPTED, LiveToken: []byte("live"),
		Usage: &backendv1.Usage{InputTokens: &output, OutputTokens: &output},
	}}}
}

func hang(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
	<-s.Context().Done()
	return s.Context().Err()
}

func TestCutTurns(t *testing.T) {
	stop := Sampling{Stop: []string{"END"}}
	two := Sampling{MaxOutputTokens: new(int64(2))}
	tests := []struct {
		name     string
		sampling Sampling
		after    executeFunc
		text     []string
		want     string
		reason   FinishReason
		output   int64
		guess    bool
	}{
		{"stop, the backend's usage", stop, finish(4, interrupted(7)), []string{"one E", "ND two"}, "one ", FinishStopSequence, 7, false},
		{"length", two, finish(4, interrupted(7)), []string{"hello world", " and more words"}, "hello world", FinishLength, 7, false},
		{"it fails after the cut", stop, finish(4, failed(backendv1.ErrorCode_ERROR_CODE_OVERLOADED)), []string{"12345678E", "ND"}, "12345678", FinishStopSequence, 2, true},
		{"it hangs after the cut", two, hang, []string{"hello world", " and more words"}, "hello world", FinishLength, 2, true},
		{"it breaks off after the cut", stop, script(), []string{"12345678E", "ND"}, "12345678", FinishStopSequence, 2, true},
		{"it breaks the contract after the cut", stop, finish(9, delta("x")), []string{"12345678E", "ND"}, "12345678", FinishStopSequence, 2, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakes(t)
			events := []*backendv1.ExecuteResponse{started()}
			for _, s := range tt.text {
				events = append(events, delta(s))
			}
			f.add("b", liveCaps(), untilInterrupted(t, tt.after, events...))
			e := New(Config{Backends: f})
			e.cutWait = 50 * time.Millisecond
			if tt.output == 7 { // the plugin ends by itself
				e.cutWait = time.Minute
			}
			a, err := run(t, e, &Turn{Model: "b", Messages: say("hi"), Sampling: tt.sampling})
			if err != nil {
				t.Fatal(err)
			}
			if a.Text() != tt.want || a.Reason != tt.reason || Known(a.Usage.OutputTokens) != tt.output || a.Usage.Estimated != tt.guess {
				t.Errorf("%q, %+v, %d tokens", a.Text(), a.Completed, Known(a.Usage.OutputTokens))
			}
			if tt.reason == FinishStopSequence && a.StopSequence != "END" {
				t.Errorf("stop sequence %q", a.StopSequence)
			}
			if e.live.order.Len() != 0 {
				t.Error("a conversation is remembered that holds more than the client has seen")
			}
		})
	}
}

func TestUncutTurnsStayLive(t *testing.T) {
	f := newFakes(t)
	f.add("b", liveCaps(), script(started(), delta("one E"), completed("live")))
	e := New(Config{Backends: f})
	a, err := run(t, e, &Turn{Model: "b", Messages: say("hi"), Sampling: Sampling{Stop: []string{"END"}, MaxOutputTokens: new(int64(32000))}})
	if err != nil || a.Text() != "one E" || a.Reason != FinishStop || e.live.order.Len() != 1 {
		t.Errorf("%+v, %v, %d live", a, err, e.live.order.Len())
	}
}

func TestHonouredLimitsAreTheBackends(t *testing.T) {
	f := newFakes(t)
	caps := &backendv1.Capabilities{Chat: &backendv1.ChatCapability{Sampling: []string{FieldStop, FieldMaxOutputTokens}}}
	f.add("b", caps, script(started(), delta("one END two"), completed("")))
	a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("hi"), Sampling: Sampling{Stop: []string{"END"}, MaxOutputTokens: new(int64(1))}})
	if err != nil || a.Text() != "one END two" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestCancelAfterTheCut(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		for _, e := range number(started(), delta("one END two")) {
			if err := s.Send(e); err != nil {
				return err
			}
		}
		return hang(start, s) // whether the interrupt or the end comes first
	})
	x, err := New(Config{Backends: f}).Execute(t.Context(), &Turn{Model: "b", Messages: say("hi"), Sampling: Sampling{Stop: []string{"END"}}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := x.Next(); err != nil {
			t.Fatal(err)
		}
	}
	x.Close()
	if _, err := x.Next(); err == nil || AsError(err).Code != CodeCanceled {
		t.Errorf("err = %v", err)
	}
}

func clientCall(id string) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCall{ToolCall: &backendv1.ToolCall{
		Id: id, Name: "t", ArgumentsJson: "{}", Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT,
	}}}
}

func TestClientCalls(t *testing.T) {
	for n := range 4 {
		for _, single := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, single %v", n, single), func(t *testing.T) {
				f := newFakes(t)
				events := []*backendv1.ExecuteResponse{started()}
				for i := range n {
					events = append(events, clientCall(fmt.Sprint("call", i)))
				}
				want, execute := n, script(append(events, completed(""))...)
				if single && n > 1 {
					want, execute = 1, untilInterrupted(t, finish(n+2, interrupted(3)), events...)
				}
				f.add("b", &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}, ClientTools: &backendv1.ClientToolCapability{}}, execute)
				a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("hi"), Tools: []Tool{{Name: "t"}}, SingleCall: single})
				if err != nil || len(a.Parts) != want {
					t.Fatalf("%+v, %v", a, err)
				}
				if single && n > 1 && a.Reason != FinishToolCalls {
					t.Errorf("reason %v", a.Reason)
				}
			})
		}
	}
}

// TestLimiterKeepsOrderAndSignatures shows that what is held back goes out before what
// comes after it.
func TestLimiterKeepsOrderAndSignatures(t *testing.T) {
	var got []Event
	l := limits(&Turn{Sampling: Sampling{Stop: []string{"END"}, MaxOutputTokens: new(int64(100))}}, nil, func(ev Event) { got = append(got, ev) })
	events := []Event{
		&ReasoningDelta{Block: 0, Text: "END is fine here"}, &ReasoningDelta{Block: 0, Signature: []byte("s")},
		&ReasoningDelta{Block: 1, Text: "secret", Redacted: true},
		&TextDelta{Block: 2, Text: "so E"}, &ToolCallStarted{Block: 3, ID: "x"}, &ToolCallDone{ToolCall: ToolCall{ID: "x"}},
		&TextDelta{Block: 4, Text: "ND E"}, &UsageEvent{}, &TextDelta{Block: 5, Text: "ND no more"},
		&ToolCallStarted{Block: 6, ID: "y"}, &Completed{Reason: FinishStop},
	}
	for _, ev := range events {
		l.add(ev)
	}
	want := []Event{
		&ReasoningDelta{Block: 0, Text: "END is fine here"}, &ReasoningDelta{Block: 0, Signature: []byte("s")},
		&ReasoningDelta{Block: 1, Text: "secret", Redacted: true},
		&TextDelta{Block: 2, Text: "so "}, &TextDelta{Block: 2, Text: "E"}, &ToolCallStarted{Block: 3, ID: "x"}, &ToolCallDone{ToolCall: ToolCall{ID: "x"}},
		&TextDelta{Block: 4, Text: "ND "}, &UsageEvent{}, &Completed{Reason: FinishStopSequence, StopSequence: "END"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUncutAnswersAreWhole shows that the limiter loses nothing of an answer that is
// within its limits.
func TestUncutAnswersAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var got, want strings.Builder
		show := func(b *strings.Builder, ev Event) {
			switch v := ev.(type) {
			case *TextDelta:
				fmt.Fprintf(b, "%s", v.Text)
			case *ReasoningDelta:
				fmt.Fprintf(b, "%s%s", strings.ToUpper(v.Text), v.Signature)
			case *ToolCallDone:
				fmt.Fprintf(b, "<%s>", v.ID)
			}
		}
		l := limits(&Turn{Sampling: Sampling{Stop: []string{"abab"}, MaxOutputTokens: new(int64(1000))}}, nil, func(ev Event) { show(&got, ev) })
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			text := rapid.SampledFrom([]string{"a", "b a", "ba", "aba", " é"}).Draw(t, "text")
			ev := rapid.SampledFrom([]Event{
				&TextDelta{Text: text + "c"}, &TextDelta{Text: text + "-"}, &ReasoningDelta{Text: text}, &ReasoningDelta{Text: text, Signature: []byte("!")},
				&ToolCallDone{ToolCall: ToolCall{ID: text}},
			}).Draw(t, "event")
			show(&want, ev)
			l.add(ev)
		}
		l.add(&Completed{})
		if got.String() != want.String() {
			t.Fatalf("%q, want %q", got.String(), want.String())
		}
	})
}

// collectUntil reads events up to the end.
func collectUntil(x *Execution) (events []Event, err error) {
	for {
		ev, err := x.Next()
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, ev)
	}
}

// TestNoCallsMeansNone: a model that calls although it was told not to is not heard.
func TestNoCallsMeansNone(t *testing.T) {
	f := newFakes(t)
	caps := &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}, ClientTools: &backendv1.ClientToolCapability{}}
	called := &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ToolCall{ToolCall: &backendv1.ToolCall{
		Id: "a", Name: "t", ArgumentsJson: `{"x":1}`, Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT,
	}}}
	end := completed("")
	end.GetCompleted().FinishReason = backendv1.FinishReason_FINISH_REASON_TOOL_CALLS
	f.add("b", caps, script(started(), delta("so "), called, delta("be it"), end))
	turn := &Turn{Model: "b", Messages: say("hi"), Tools: []Tool{{Name: "t"}}, ToolChoice: ToolChoice{Kind: ToolChoiceNone}}
	a, err := run(t, New(Config{Backends: f}), turn)
	if err != nil {
		t.Fatal(err)
	}
	if a.Text() != "so be it" || a.Reason != FinishStop {
		t.Errorf("%+v", a)
	}
	for _, p := range a.Parts {
		if _, ok := p.(ToolCall); ok {
			t.Errorf("a call: %+v", p)
		}
	}
}

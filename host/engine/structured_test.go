package engine

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

var ageSchema = json.RawMessage(`{"type":"object","properties":{"age":{"type":"integer"}},"required":["age"]}`)

func outputCaps(strict bool) *backendv1.Capabilities {
	c := liveCaps()
	c.StructuredOutput = &backendv1.StructuredOutputCapability{Strict: strict}
	return c
}

func counted(output int64, reason backendv1.FinishReason) *backendv1.ExecuteResponse {
	return &backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{
		FinishReason: reason, Usage: &backendv1.Usage{OutputTokens: &output}, LiveToken: []byte("live"),
	}}}
}

const stopped = backendv1.FinishReason_FINISH_REASON_STOP

// answers is a backend that gives one answer after the other.
func answers(t *testing.T, starts chan<- *backendv1.Start, texts ...string) executeFunc {
	var n atomic.Int32
	return func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		i := int(n.Add(1)) - 1
		if i >= len(texts) {
			t.Error("asked once too often")
			return nil
		}
		starts <- start
		return script(started(), delta(texts[i]), counted(5, stopped))(start, s)
	}
}

func TestStructuredOutput(t *testing.T) {
	tests := []struct {
		name    string
		caps    *backendv1.Capabilities
		answers []string
		want    string
		code    Code // CodeInvalidOutput: it does not match
		live    int
	}{
		{"as it should be", outputCaps(false), []string{`{"age":1}`}, `{"age":1}`, 0, 1},
		{"fenced", outputCaps(false), []string{"```json\n{\"age\":1}\n```"}, `{"age":1}`, 0, 0},
		{"in prose, no capability", liveCaps(), []string{`Sure: {"age":1}. Bye`}, `{"age":1}`, 0, 0},
		{"repaired", outputCaps(false), []string{`{"age":"old"}`, `{"age":2}`}, `{"age":2}`, 0, 0},
		{"repaired, no capability", liveCaps(), []string{`I do not know`, `{"age":2}`}, `{"age":2}`, 0, 0},
		{"empty, then repaired", liveCaps(), []string{``, `{"age":2}`}, `{"age":2}`, 0, 0},
		{"still wrong", outputCaps(false), []string{`{"age":"old"}`, `{}`}, "", CodeInvalidOutput, 0},
		{"strict", outputCaps(true), []string{`{"age":1}`}, `{"age":1}`, 0, 1},
		{"strict and wrong", outputCaps(true), []string{`{"age":"old"}`}, "", CodeInvalidOutput, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFakes(t)
			starts := make(chan *backendv1.Start, 2)
			f.add("b", tt.caps, answers(t, starts, tt.answers...))
			e := New(Config{Backends: f})
			a, err := run(t, e, &Turn{Model: "b", Messages: say("hi"), System: "be nice", OutputSchema: ageSchema})
			n := int64(5 * len(tt.answers))
			switch {
			case tt.code != 0:
				if err == nil || err.Code != tt.code || err.Retryable || !strings.Contains(err.Message, "backend b") || Known(err.Usage.OutputTokens) != n {
					t.Errorf("err = %+v", err)
				}
			case err != nil:
				t.Fatal(err)
			case a.Text() != tt.want || Known(a.Usage.OutputTokens) != n:
				t.Errorf("%q, %d tokens", a.Text(), Known(a.Usage.OutputTokens))
			}
			if e.live.order.Len() != tt.live {
				t.Errorf("%d live conversations", e.live.order.Len())
			}
			first := <-starts
			asked := strings.Contains(first.GetSystem(), string(ageSchema))
			if able := tt.caps.GetStructuredOutput() != nil; able == asked || able == (len(first.GetOutputSchema()) == 0) {
				t.Errorf("the plugin got %v", first)
			}
			if len(tt.answers) == 1 {
				return
			}
			second := <-starts
			if m := second.GetMessages(); len(m) != 3 || !strings.Contains(m[2].GetParts()[0].GetText(), "not valid against") || second.GetLive() != nil {
				t.Errorf("the second time the plugin got %v", second)
			}
		})
	}
}

// TestWhatIsHeldBack shows that nothing of a wrong answer is seen unless the provider
// enforces the schema.
func TestWhatIsHeldBack(t *testing.T) {
	for _, strict := range []bool{false, true} {
		f := newFakes(t)
		f.add("b", outputCaps(strict), script(started(), delta("no"), delta("pe"), counted(1, stopped)))
		x, err := New(Config{Backends: f}).Execute(t.Context(), &Turn{Model: "b", Messages: say("hi"), OutputSchema: ageSchema})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		events, err := collectUntil(x)
		if e := AsError(err); e == nil || e.Code != CodeInvalidOutput {
			t.Errorf("err = %v", err)
		}
		if want := map[bool]int{false: 1, true: 3}[strict]; len(events) != want {
			t.Errorf("strict %v: %d events", strict, len(events))
		}
	}
}

func TestAnswersThatAreNotChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		sampling Sampling
		events   []*backendv1.ExecuteResponse
		text     string
		reason   FinishReason
	}{
		"the backend's limit": {events: []*backendv1.ExecuteResponse{started(), delta(`{"a`), counted(1, backendv1.FinishReason_FINISH_REASON_LENGTH)}, text: `{"a`, reason: FinishLength},
		"the host's limit": {
			sampling: Sampling{MaxOutputTokens: new(int64(1))},
			events:   []*backendv1.ExecuteResponse{started(), delta("hello world"), counted(1, stopped)}, text: "hello", reason: FinishLength,
		},
		"a call": {events: []*backendv1.ExecuteResponse{started(), delta("I look"), clientCall("x"), counted(1, backendv1.FinishReason_FINISH_REASON_TOOL_CALLS)}, text: "I look", reason: FinishToolCalls},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakes(t)
			caps := outputCaps(false)
			caps.ClientTools = &backendv1.ClientToolCapability{}
			f.add("b", caps, script(tt.events...))
			a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("hi"), OutputSchema: ageSchema, Sampling: tt.sampling, Tools: []Tool{{Name: "t"}}})
			if err != nil || a.Text() != tt.text || a.Reason != tt.reason {
				t.Errorf("%+v, %v", a, err)
			}
			if name == "a call" && err == nil {
				if diff := cmp.Diff([]Part{Text("I look"), ToolCall{ID: "x", Name: "t", Arguments: "{}"}}, a.Parts); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// TestRepairEnds shows how a second answer ends that does not come.
func TestRepairEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		second func(f *fakeBackends, x *Execution, cancel func(), s backendv1.BackendService_ExecuteServer) error
		code   Code
		reason FinishReason
	}{
		"cancelled": {second: func(_ *fakeBackends, _ *Execution, cancel func(), s backendv1.BackendService_ExecuteServer) error {
			cancel()
			return hang(nil, s)
		}, code: CodeCanceled},
		"closed": {second: func(_ *fakeBackends, x *Execution, _ func(), s backendv1.BackendService_ExecuteServer) error {
			x.Close()
			return hang(nil, s)
		}, code: CodeCanceled},
		"interrupted": {second: func(_ *fakeBackends, x *Execution, _ func(), s backendv1.BackendService_ExecuteServer) error {
			x.Interrupt()
			if m, err := s.Recv(); err != nil || m.GetInterrupt() == nil {
				return err
			}
			return script(started(), interrupted(1))(nil, s)
		}, reason: FinishInterrupted},
		"the plugin dies": {second: func(f *fakeBackends, _ *Execution, _ func(), s backendv1.BackendService_ExecuteServer) error {
			if err := s.Send(&backendv1.ExecuteResponse{Sequence: 1, Event: started().Event}); err != nil {
				return err
			}
			f.mu.Lock()
			p := f.procs["b"]
			f.mu.Unlock()
			go p.kill()
			return hang(nil, s)
		}, code: CodeCLIFailure},
		"it fails": {second: func(_ *fakeBackends, _ *Execution, _ func(), s backendv1.BackendService_ExecuteServer) error {
			return script(failed(backendv1.ErrorCode_ERROR_CODE_OVERLOADED))(nil, s)
		}, code: CodeOverloaded},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakes(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ready := make(chan *Execution, 1)
			var n atomic.Int32
			f.add("b", outputCaps(false), func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
				if n.Add(1) == 1 {
					return script(started(), delta("nope"), counted(5, stopped))(start, s)
				}
				return tt.second(f, <-ready, cancel, s)
			})
			e := New(Config{Backends: f})
			x, err := e.Execute(ctx, &Turn{Model: "b", Messages: say("hi"), OutputSchema: ageSchema})
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			ready <- x
			events, err := collectUntil(x)
			if tt.reason != 0 {
				if c, ok := events[len(events)-1].(*Completed); err != nil || !ok || c.Reason != tt.reason {
					t.Errorf("%v, %v", events, err)
				}
				return
			}
			if e := AsError(err); e == nil || e.Code != tt.code || e.Usage == nil || Known(e.Usage.OutputTokens) != 5 {
				t.Errorf("err = %+v", e)
			}
			if running, _, _ := e.Load("b"); running != 0 {
				t.Errorf("%d turns still run", running)
			}
		})
	}
}

// TestAnyObjectIsHeldBack: providers that enforce schemas do not enforce this one.
func TestAnyObjectIsHeldBack(t *testing.T) {
	f := newFakes(t)
	f.add("b", outputCaps(true), script(started(), delta("```json\n"), delta("{}\n```"), completed("")))
	a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("x"), OutputSchema: []byte(`{"type": "object"}`)})
	if err != nil || a.Text() != "{}" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestAgentsOfChatOnlyBackendsAreInstructed: what the provider enforces in chat the
// host asks for in agent mode.
func TestAgentsOfChatOnlyBackendsAreInstructed(t *testing.T) {
	f := newFakes(t)
	caps := outputCaps(true)
	caps.StructuredOutput.ChatOnly, caps.Agent = true, &backendv1.AgentCapability{}
	f.add("b", caps, func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		instructed := strings.Contains(start.GetSystem(), string(ageSchema))
		if agent := start.GetMode() == backendv1.Mode_MODE_AGENT; instructed != agent || agent == (len(start.GetOutputSchema()) > 0) {
			t.Errorf("mode %v: system %q, schema %q", start.GetMode(), start.GetSystem(), start.GetOutputSchema())
		}
		return script(started(), delta(`{"age":1}`), completed(""))(start, s)
	})
	for _, mode := range []Mode{ModeChat, ModeAgent} {
		a, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Mode: mode, Messages: say("x"), OutputSchema: ageSchema})
		if err != nil || a.Text() != `{"age":1}` {
			t.Errorf("mode %v: %+v, %v", mode, a, err)
		}
	}
}

// TestSchemasThatDoNotFitAreInstructed, and answers to them held back.
func TestSchemasThatDoNotFitAreInstructed(t *testing.T) {
	f := newFakes(t)
	caps := outputCaps(true)
	caps.StructuredOutput.AllRequired = true
	f.add("b", caps, func(start *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		if len(start.GetOutputSchema()) > 0 || start.GetSystem() == "" {
			t.Errorf("schema %q, system %q", start.GetOutputSchema(), start.GetSystem())
		}
		return script(started(), delta("```json\n{}\n```"), completed(""))(start, s)
	})
	turn := &Turn{Model: "b", Messages: say("x"), OutputSchema: []byte(`{"type":"object","properties":{"x":{}}}`)}
	a, err := run(t, New(Config{Backends: f}), turn)
	if err != nil || a.Text() != "{}" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestBadSchemaIsRefusedBeforeAnythingRuns(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, nil)
	_, err := run(t, New(Config{Backends: f}), &Turn{Model: "b", Messages: say("hi"), OutputSchema: []byte(`{"type":1}`)})
	if err == nil || err.Code != CodeInvalidRequest || err.Param != "response_format" || !strings.Contains(err.Message, "not valid") || f.acquired != 0 {
		t.Errorf("err = %+v, %d processes asked", err, f.acquired)
	}
}

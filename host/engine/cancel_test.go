package engine

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/engine/gate"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

// patient answers a piece and goes on until it is interrupted, or cut off when deaf.
func patient(deaf bool) executeFunc {
	return func(_ *backendv1.Start, s backendv1.BackendService_ExecuteServer) error {
		if err := script(started(), delta("a piece"))(nil, s); err != nil {
			return err
		}
		if deaf {
			<-s.Context().Done()
			return status.FromContextError(s.Context().Err()).Err()
		}
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if m.GetInterrupt() == nil {
			return status.Error(codes.InvalidArgument, "it is no interrupt")
		}
		n := int64(7)
		return s.Send(&backendv1.ExecuteResponse{Sequence: 3, Event: &backendv1.ExecuteResponse_Completed{Completed: &backendv1.Completed{
			FinishReason: backendv1.FinishReason_FINISH_REASON_INTERRUPTED, Usage: &backendv1.Usage{OutputTokens: &n},
		}}})
	}
}

// collected is how a turn ended.
type collected struct {
	answer *Answer
	err    error
}

// begin executes a turn until its first piece of text is there; the rest is collected.
func begin(t *testing.T, e *Engine, turn *Turn) (id string, end <-chan collected) {
	t.Helper()
	x, err := e.Execute(t.Context(), turn)
	if err != nil {
		t.Fatal(err)
	}
	text, out := make(chan struct{}), make(chan collected, 1)
	go func() {
		defer x.Close()
		for {
			ev, err := x.Next()
			if err != nil {
				out <- collected{nil, err}
				return
			}
			switch v := ev.(type) {
			case *TextDelta:
				close(text)
			case *Completed:
				out <- collected{&Answer{Completed: *v}, nil}
				return
			}
		}
	}()
	<-text
	return x.ID, out
}

func TestCancelInterrupts(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, patient(false))
	e := New(Config{Backends: f})
	id, end := begin(t, e, &Turn{Model: "b", Owner: "o", RequestID: "req", Dialect: "rest", Session: &Session{ID: "s"}, Messages: say("hi")})
	running, err := e.Execution("o", id)
	if err != nil || running.State != StateRunning || running.FirstToken.IsZero() || !running.Ended.IsZero() ||
		running.RequestID != "req" || running.Dialect != "rest" || running.Session != "s" || running.Mode != ModeChat || running.Model != "b" {
		t.Errorf("%+v, %v", running, err)
	}
	if _, err := e.Cancel(t.Context(), "another", id); AsError(err).Code != CodeNotFound {
		t.Errorf("another owner's cancel: %v", err)
	}
	record, err := e.Cancel(t.Context(), "o", id)
	if err != nil || record.State != StateCancelled || record.Reason != FinishInterrupted || Known(record.Usage.OutputTokens) != 7 || record.Ended.IsZero() {
		t.Errorf("%+v, %v", record, err)
	}
	if got := <-end; got.err != nil || got.answer.Reason != FinishInterrupted {
		t.Errorf("%+v", got)
	}
	if _, err := e.Cancel(t.Context(), "o", id); AsError(err).Code != CodeConflict || err.Error() != `the execution "`+id+`" is over: its state is cancelled` {
		t.Errorf("the second cancel: %v", err)
	}
}

// TestCancelCutsOff cancels, twice at the same time, a turn whose backend takes no notice.
func TestCancelCutsOff(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, patient(true))
	e := New(Config{Backends: f})
	e.cutWait = 20 * time.Millisecond
	id, end := begin(t, e, &Turn{Model: "b", Messages: say("hi")})
	records := make(chan Record, 2)
	for range 2 {
		go func() {
			record, err := e.Cancel(t.Context(), "", id)
			if err != nil {
				t.Error(err)
			}
			records <- record
		}()
	}
	const message = "the turn was cancelled, and cut off because backend b did not end it within 20ms"
	for range 2 {
		if r := <-records; r.State != StateCancelled || r.Err == nil || r.Err.Code != CodeCanceled || r.Err.Message != message {
			t.Errorf("%+v", r)
		}
	}
	if got := <-end; AsError(got.err).Code != CodeCanceled || got.err.Error() != message {
		t.Errorf("%+v", got)
	}
}

func TestCancelLeavesTheQueue(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, patient(false))
	e := New(Config{Backends: f, Limits: func(string) gate.Limits { return gate.Limits{MaxConcurrent: 1} }})
	first, end := begin(t, e, &Turn{Model: "b", Messages: say("hi")})
	refused := make(chan error, 1)
	go func() {
		_, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("hi")})
		refused <- err
	}()
	var queued []Record
	await.Until(t, 10*time.Second, "the second turn waits", func() bool {
		queued = e.Executions("", Filter{State: StateQueued})
		return len(queued) == 1
	})
	if !queued[0].Started.IsZero() {
		t.Errorf("it started: %+v", queued[0])
	}
	record, err := e.Cancel(t.Context(), "", queued[0].ID)
	if err != nil || record.State != StateCancelled || record.Reason != 0 || record.Err.Message != "the turn was cancelled before it began" {
		t.Errorf("%+v, %v", record, err)
	}
	if err := <-refused; AsError(err).Code != CodeCanceled {
		t.Errorf("the turn: %v", err)
	}
	if running, waiting, _ := e.Load("b"); running != 1 || waiting != 0 {
		t.Errorf("%d run and %d wait", running, waiting)
	}
	if _, err := e.Cancel(t.Context(), "", first); err != nil {
		t.Error(err)
	}
	<-end
}

// TestCancelOfWhoDoesNotRead answers though nobody asks for the end of the turn.
func TestCancelOfWhoDoesNotRead(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, patient(false))
	e := New(Config{Backends: f})
	e.cutWait = time.Millisecond
	x, err := e.Execute(t.Context(), &Turn{Model: "b", Messages: say("hi")})
	if err != nil {
		t.Fatal(err)
	}
	record, err := e.Cancel(t.Context(), "", x.ID)
	if err != nil || record.State != StateRunning {
		t.Errorf("%+v, %v", record, err)
	}
	x.Close()
	if record, err = e.Execution("", x.ID); err != nil || record.State != StateCancelled {
		t.Errorf("%+v, %v", record, err)
	}
}

// TestExecutionsThatWereRefused shows that a turn is there from when it asks for its
// place, and not before.
func TestExecutionsThatWereRefused(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, script(started(), failed(backendv1.ErrorCode_ERROR_CODE_OVERLOADED)))
	f.add("gone", nil, nil)
	f.procs["gone"].kill()
	delete(f.procs, "gone")
	e := New(Config{Backends: f})
	for _, turn := range []*Turn{{Model: "nobody"}, {Model: "b", Mode: ModeAgent}, {Model: "b", Messages: say("hi")}, {Model: "gone", Messages: say("hi")}} {
		if _, err := run(t, e, turn); err == nil {
			t.Errorf("%s works", turn.Model)
		}
	}
	got := map[string]Code{}
	for _, r := range e.Executions("", Filter{State: StateFailed}) {
		got[r.Backend] = r.Err.Code
	}
	if len(got) != 2 || got["b"] != CodeOverloaded || got["gone"] != CodeInternal {
		t.Errorf("%v", got)
	}
}

// TestCancelledByItself ends a turn that runs, and one that has not begun, as Cancel does.
func TestCancelledByItself(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, patient(false))
	e := New(Config{Backends: f})
	cancelled := make(chan struct{})
	turn := &Turn{Model: "b", Messages: say("hi"), Cancelled: cancelled}
	id, end := begin(t, e, turn)
	close(cancelled)
	if got := <-end; got.err != nil || got.answer.Reason != FinishInterrupted {
		t.Errorf("%+v", got)
	}
	if record, err := e.Execution("", id); err != nil || record.State != StateCancelled {
		t.Errorf("%+v, %v", record, err)
	}
	// Whether the next one is ended before it begins or just after it is the same to who
	// asked for it: it is over.
	x, err := e.Execute(t.Context(), turn)
	if err != nil {
		if AsError(err).Code != CodeCanceled {
			t.Error(err)
		}
		return
	}
	defer x.Close()
	if a, err := Collect(x); err != nil || a.Reason != FinishInterrupted {
		t.Errorf("%+v, %v", a, err)
	}
}

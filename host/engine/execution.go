package engine

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Execution is one turn under way. Next has one caller at a time; the other
// methods may be called concurrently.
type Execution struct {
	// ID of the turn, unique.
	ID string
	// Backend that answers.
	Backend string
	// Model is the name to show: what the client asked for.
	Model string
	// Ignored lists parameters that the backend does not honour (Field…).
	Ignored []string
	// Session is the id of the session that the turn belongs to; empty: none.
	Session string

	engine *Engine
	turn   *Turn
	to     target
	leave  func()
	keys   []prefixKey

	begin, admitted time.Time
	// opened and first are nanoseconds since begin; 0: not yet.
	opened, first atomic.Int64
	parted        atomic.Bool // nobody need wait for it
	deserted      atomic.Bool // its client has gone

	cancel  context.CancelCauseFunc
	ctx     context.Context //nolint:containedctx // the life of the call
	mu      sync.Mutex      // guards lease, stream, hang and interrupted against Close and Interrupt
	lease   Lease
	stream  backendv1.BackendService_ExecuteClient
	events  normalizer
	answer  AnswerBuilder
	said    int   // bytes of the answer that went out
	over    error // what Next returns from now on
	retried bool
	closed  bool
	source  func() (Event, error) // instead of a plugin; see Replay

	shape       *shaper            // nil: the client sees the events as they are
	hang        context.CancelFunc // ends the call to the plugin
	interrupted bool               // the client asked for the end
	reading     sync.Mutex         // orders Next, which windUp calls too
	kept        bool               // the backend keeps the conversation, as far as it is asked to
	diverged    bool               // the backend holds something else than the client has seen
	watch       watch
}

// Replay is an execution whose events come from a function, for tests of those
// who consume executions. source returns io.EOF after *Completed.
func Replay(id, backend, model string, source func() (Event, error)) *Execution {
	now := time.Now()
	return &Execution{ID: id, Backend: backend, Model: model, ctx: context.Background(), source: source, begin: now, admitted: now}
}

// ReplayTurn is Replay for a turn whose session and watcher count.
func ReplayTurn(t *Turn, backend string, source func() (Event, error)) *Execution {
	x := Replay("turn_"+newID(), backend, t.Model, source)
	if t.Session != nil {
		x.Session = t.Session.ID
	}
	x.watch.add(t.Watcher)
	return x
}

// grace is how much later than the turn's limit the call is given up, so that the
// plugin can still report the time-out with its usage.
const grace = 10 * time.Second

var errClosed = errors.New("the execution was closed")

// open calls the plugin.
func (x *Execution) open() error {
	lease, err := x.engine.backends.Acquire(x.ctx, x.to.backend)
	if err != nil {
		return AsError(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lease = lease
	if x.closed {
		lease.Release()
		return x.canceled(errClosed)
	}
	start := startToProto(x.ID, x.to.model, x.turn)
	x.useLive(start)
	x.useSession(start)
	ctx, hang := x.callContext()
	x.hang = hang
	stream, err := lease.Client().Execute(ctx)
	if err == nil {
		x.stream = stream
		err = stream.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Start{Start: start}})
	}
	x.opened.Store(int64(time.Since(x.begin)))
	if err != nil && (stream == nil || !errors.Is(err, io.EOF)) { // with EOF Recv tells what is wrong
		return x.broken(err)
	}
	if x.interrupted { // while there was no call to interrupt
		x.sendInterruptLocked()
	}
	return nil
}

// callContext is that of one call to the plugin.
func (x *Execution) callContext() (context.Context, context.CancelFunc) {
	parent, stop := x.ctx, func() bool { return true }
	if x.kept {
		parent, stop = x.outlive()
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if t := x.turn.Timeout; t > 0 {
		ctx, cancel = context.WithTimeout(parent, t+grace)
	} else {
		ctx, cancel = context.WithCancel(parent)
	}
	return ctx, func() { stop(); cancel() }
}

// hangUp ends the call to the plugin and gives the process back, before another call.
func (x *Execution) hangUp() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.lease != nil && !x.closed { // Close has released it otherwise
		x.lease.Release()
	}
	if x.hang != nil {
		x.hang()
	}
	x.lease, x.stream = nil, nil
}

// Next returns the next event, io.EOF after *Completed, or the turn's failure as
// an *Error. It blocks until something happens.
func (x *Execution) Next() (Event, error) {
	x.reading.Lock()
	defer x.reading.Unlock()
	return x.watch.see(x.next())
}

func (x *Execution) next() (Event, error) {
	if x.source != nil {
		ev, err := x.source()
		x.mark(ev)
		return ev, err
	}
	for {
		if ev := x.pop(); ev != nil {
			x.mark(ev)
			x.tally(ev)
			if c, ok := ev.(*Completed); ok && x.diverged {
				c.SessionToken = nil
			}
			return ev, nil
		}
		if x.over != nil {
			return nil, x.over
		}
		x.receive()
	}
}

// pop takes the next event for the client out; nil when there is none.
func (x *Execution) pop() Event {
	if x.shape != nil {
		return x.shape.pop()
	}
	ev := x.events.pop()
	if ev != nil {
		x.keep(ev)
	}
	return ev
}

// mark notes when the first part of the answer came.
func (x *Execution) mark(ev Event) {
	if x.first.Load() != 0 {
		return
	}
	switch ev.(type) {
	case *TextDelta, *ReasoningDelta, *ToolCallStarted:
		x.first.Store(int64(time.Since(x.begin)))
	}
}

// receive takes one message in, or ends the execution.
func (x *Execution) receive() {
	r, err := x.stream.Recv()
	if err != nil {
		if x.retry(err) {
			return
		}
		if errors.Is(err, io.EOF) { // which means that all is well, to those who call Next
			err = errContract("the turn ended without completed or failed")
		}
		x.fail(x.broken(err))
		return
	}
	failure, err := x.events.add(x.to.backend, r)
	switch {
	case err != nil:
		x.fail(x.broken(err))
	case failure != nil:
		if failure.Code == CodeCLIFailure {
			x.explain(failure)
		}
		x.fail(failure)
	case x.shape != nil:
		x.reshape(r.GetCompleted())
	case r.GetCompleted() != nil:
		x.remember(r.GetCompleted())
		x.end(io.EOF)
	}
}

// retry opens the turn on a new process when the plugin broke before the turn had
// started there; after that never, because CLIs have side effects.
func (x *Execution) retry(err error) bool {
	if x.retried || x.events.started || x.ctx.Err() != nil {
		return false
	}
	select {
	case <-x.lease.Exited():
	case <-time.After(patience(err)):
		return false // the process lives: the same would happen again
	}
	x.retried = true
	x.hangUp()
	x.events = normalizer{}
	if err := x.open(); err != nil {
		x.fail(AsError(err))
	}
	return true
}

// end makes Next return err once the queue is empty, and ends the call.
func (x *Execution) end(err error) {
	x.over = err
	x.release(errClosed)
}

// Interrupt asks the backend to end the turn early but properly.
func (x *Execution) Interrupt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.interrupted = true
	x.sendInterruptLocked()
}

func (x *Execution) wasInterrupted() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.interrupted
}

// sendInterruptLocked asks the backend to end the turn; the caller holds mu.
func (x *Execution) sendInterruptLocked() {
	if x.stream != nil {
		// An error means that the turn is over.
		_ = x.stream.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}})
	}
}

// Close ends the turn if it still runs and gives its place to the next. It may be
// called more than once.
func (x *Execution) Close() {
	x.windUp()
	gone := x.canceled(errClosed)
	if x.source == nil {
		defer x.part()
		x.release(errClosed)
	}
	x.watch.gone(gone)
}

func (x *Execution) release(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	x.closed = true
	if x.shape != nil && x.shape.hurry != nil {
		x.shape.hurry.Stop()
	}
	if x.cancel != nil {
		x.cancel(cause)
	}
	if x.hang != nil {
		x.hang() // it may outlive ctx
	}
	if x.lease != nil {
		x.lease.Release()
	}
	x.leave()
}

// part says that nothing of the execution goes on, also not with its watchers.
func (x *Execution) part() {
	if !x.parted.Swap(true) {
		x.engine.running.Done()
	}
}

// Timing of an execution so far; FirstToken and Backend are 0 when there was none.
type Timing struct {
	// Queue is the wait for a place, Backend that for the plugin to take the turn,
	// FirstToken the time from the request to the first part of the answer.
	Queue, Backend, FirstToken, Total time.Duration
}

// Timing tells how long the steps took.
func (x *Execution) Timing() Timing {
	t := Timing{Queue: x.admitted.Sub(x.begin), Total: time.Since(x.begin), FirstToken: time.Duration(x.first.Load())}
	if opened := time.Duration(x.opened.Load()); opened > 0 {
		t.Backend = opened - t.Queue
	}
	return t
}

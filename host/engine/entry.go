package engine

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// entry is one execution in the register. A nil one takes everything and does nothing.
type entry struct {
	register *register
	stop     func(error)   // ends the turn hard
	done     chan struct{} // closed at the end

	mu        sync.Mutex
	record    Record
	x         *Execution // while it runs
	cancelled bool       // somebody asked for the end
	hurry     *time.Timer
}

// admit says that the execution has its place; false: it was cancelled before.
func (e *entry) admit(x *Execution) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cancelled {
		return false
	}
	e.x, e.record.State, e.record.Started = x, StateRunning, x.admitted
	return true
}

// see follows what Next returns.
func (e *entry) see(ev Event, err error) {
	if e == nil {
		return
	}
	if err != nil {
		if !errors.Is(err, io.EOF) {
			e.end(nil, AsError(err))
		}
		return
	}
	switch v := ev.(type) {
	case *UsageEvent:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.record.Usage = v.Usage
	case *Completed:
		e.end(v, nil)
	}
}

// end notes how the execution ended; what comes after the first time does not count.
func (e *entry) end(c *Completed, err *Error) {
	if e == nil || !e.close(c, err) {
		return
	}
	e.register.over(e)
	close(e.done)
}

func (e *entry) close(c *Completed, err *Error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := &e.record
	if r.State.Over() {
		return false
	}
	r.FirstToken, r.Ended = e.firstToken(), time.Now()
	switch {
	case c != nil:
		r.State, r.Usage, r.Reason = StateCompleted, c.Usage, c.Reason
		if e.cancelled && c.Reason == FinishInterrupted {
			r.State = StateCancelled
		}
	default:
		if r.State = StateFailed; err.Code == CodeCanceled {
			r.State = StateCancelled
		}
		if err.Usage != nil {
			r.Usage = *err.Usage
		}
		r.Err = &Error{Code: err.Code, Message: clip(err.Message), Backend: err.Backend}
	}
	if e.hurry != nil {
		e.hurry.Stop()
	}
	e.x, e.stop = nil, nil // which hold the turn
	return true
}

// firstToken is when the first part of the answer came; the caller holds mu.
func (e *entry) firstToken() time.Time {
	if e.x != nil {
		if first := e.x.first.Load(); first > 0 {
			return e.x.begin.Add(time.Duration(first))
		}
	}
	return e.record.FirstToken
}

func (e *entry) snapshot() Record {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.record
	r.FirstToken = e.firstToken()
	return r
}

// cancel asks for the end: of one that waits at once, of one that runs properly, and
// hard when that takes longer than wait. It may be asked for more than once; false: the
// execution was over.
func (e *entry) cancel(wait time.Duration) bool {
	x, goesOn := e.mark(wait)
	if x != nil {
		x.Interrupt() // without mu: it may wait for a plugin that does not read
	}
	return goesOn
}

// follow cancels the execution when somebody closes cancelled. It returns at the latest
// when the execution is over.
func (e *entry) follow(cancelled <-chan struct{}, wait time.Duration) {
	select {
	case <-cancelled:
		e.cancel(wait)
	case <-e.done:
	}
}

// mark notes that the end was asked for; x is nil when it needs no interrupt.
func (e *entry) mark(wait time.Duration) (x *Execution, goesOn bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.record.State.Over():
		return nil, false
	case e.cancelled:
		return nil, true
	}
	e.cancelled = true
	backend, stop := e.record.Backend, e.stop
	if e.x == nil {
		stop(&Error{Code: CodeCanceled, Backend: backend, Message: "the turn was cancelled before it began"})
		return nil, true
	}
	late := &Error{
		Code: CodeCanceled, Backend: backend,
		Message: fmt.Sprintf("the turn was cancelled, and cut off because backend %s did not end it within %v", backend, wait),
	}
	e.hurry = time.AfterFunc(wait, func() { stop(late) })
	return e.x, true
}

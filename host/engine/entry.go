package engine

import (
	"fmt"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/engine/clip"
)

// entry is one execution in the register. As the execution's Watcher it is told the end
// once.
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

// Event notes the usage so far, and the end.
func (e *entry) Event(ev Event) error {
	switch v := ev.(type) {
	case *UsageEvent:
		e.mu.Lock()
		defer e.mu.Unlock()
		e.record.Usage = v.Usage
	case *Completed:
		e.end(func(r *Record) {
			r.State, r.Usage, r.Reason = StateCompleted, v.Usage, v.Reason
			if v.Reason == FinishInterrupted && e.unwanted() {
				r.State = StateCancelled
			}
		})
	}
	return nil
}

// unwanted says that somebody asked for the end, or would not see it; the caller holds
// mu.
func (e *entry) unwanted() bool { return e.cancelled || e.x != nil && e.x.deserted.Load() }

// Failed notes the other end.
func (e *entry) Failed(err *Error) {
	e.end(func(r *Record) {
		if r.State = StateFailed; err.Code == CodeCanceled {
			r.State = StateCancelled
		}
		if err.Usage != nil {
			r.Usage = *err.Usage
		}
		r.Err = &Error{Code: err.Code, Message: clip.Text(err.Message), Backend: err.Backend}
	})
}

// end moves the execution to the past. note, which is called with mu held, says how it
// ended.
func (e *entry) end(note func(r *Record)) {
	e.close(note)
	e.register.over(e)
	close(e.done)
}

func (e *entry) close(note func(r *Record)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record.FirstToken, e.record.Ended = e.firstToken(), time.Now()
	note(&e.record)
	if e.hurry != nil {
		e.hurry.Stop()
	}
	e.x, e.stop = nil, nil // which hold the turn
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

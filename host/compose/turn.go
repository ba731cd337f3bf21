package compose

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// Engine is what runs the turns.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
}

// Outcome of one turn.
type Outcome struct {
	// ID of the execution, Backend that answered and Model that was asked for; empty
	// when it was refused or never began.
	ID, Backend, Model string
	// Text of the answer, as far as it came.
	Text string
	// Completed is nil when the turn failed, Err when it did not.
	Completed *engine.Completed
	Err       *engine.Error
	// Ignored lists parameters that the backend does not honour (engine.Field…).
	Ignored []string
	// Skipped says that it was never tried.
	Skipped  bool
	Duration time.Duration
}

// Event is an event of one of several turns.
type Event struct {
	// Index of the turn, from 0.
	Index int
	// Execution it belongs to; nil when there was none.
	Execution *engine.Execution
	// Event, or how the turn failed.
	Event engine.Event
	Err   *engine.Error
}

// Observer is told what happens, one call at a time; turns wait for it.
type Observer func(Event)

// serial makes an observer that may be called by many.
func serial(o Observer) Observer {
	if o == nil {
		return func(Event) {}
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		o(e)
	}
}

// run runs one turn to its end. A panic costs no more than its turn: nobody else
// recovers on its goroutine.
func run(ctx context.Context, e Engine, index int, t *engine.Turn, observe Observer) (out Outcome) {
	begin := time.Now()
	defer func() {
		if cause := recover(); cause != nil {
			out = refused(index, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()), observe)
		}
		out.Duration = time.Since(begin)
	}()
	x, err := e.Execute(ctx, t)
	if err != nil {
		return refused(index, err, observe)
	}
	defer x.Close()
	out.ID, out.Backend, out.Model, out.Ignored = x.ID, x.Backend, x.Model, x.Ignored
	out.Text, out.Completed, out.Err = engine.Gather(x, func(ev engine.Event) {
		observe(Event{Index: index, Execution: x, Event: ev})
	})
	if out.Err != nil {
		observe(Event{Index: index, Execution: x, Err: out.Err})
	}
	return out
}

// refused is the outcome of a turn that did not begin.
func refused(index int, err error, observe Observer) Outcome {
	out := Outcome{Err: engine.AsError(err)}
	observe(Event{Index: index, Err: out.Err})
	return out
}

// skip is the outcome of a turn that was not tried.
func skip(index int, reason string, observe Observer) Outcome {
	err := engine.Errorf(engine.CodeCanceled, "%s", reason)
	observe(Event{Index: index, Err: err})
	return Outcome{Err: err, Skipped: true}
}

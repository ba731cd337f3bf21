package engine

import (
	"context"
	"errors"
	"time"
)

// Outcome is what became of one turn.
type Outcome struct {
	// Backend it went to; empty: it was refused before one was chosen.
	Backend string
	// Admitted says that it was begun; otherwise it was refused, and of Timing only
	// Total is known.
	Admitted bool
	// Err is why it failed; nil: it was answered to its end.
	Err *Error
	// Timing up to the end.
	Timing Timing
	// Usage as it was told to the client; all unknown when nothing was.
	Usage Usage
}

// Execute admits a turn and starts it. The error is an *Error of before anything
// ran; later failures come out of the Execution. The turn ends when ctx does. The
// caller must Close the Execution.
func (e *Engine) Execute(ctx context.Context, t *Turn) (*Execution, error) {
	begin := time.Now()
	x, err := e.execute(ctx, t)
	if observe := e.config.Load().Observe; err != nil && observe != nil {
		refusal := AsError(err)
		observe(ctx, Outcome{Backend: refusal.Backend, Err: refusal, Timing: Timing{Total: time.Since(begin)}})
	}
	return x, err
}

// completed tells the observer that the client has got the whole answer.
func (x *Execution) completed(u Usage) { x.observe(Outcome{Usage: u}) }

// failed tells the observer what Next ends with; nothing when that is only the end.
func (x *Execution) failed(err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return
	}
	o := Outcome{Err: e}
	if e.Usage != nil {
		o.Usage = *e.Usage
	}
	x.observe(o)
}

// observe tells of the turn's end; only the first call does.
func (x *Execution) observe(o Outcome) {
	if x.engine == nil {
		return
	}
	tell := x.engine.config.Load().Observe
	if tell == nil || x.observed.Swap(true) {
		return
	}
	o.Backend, o.Admitted, o.Timing = x.Backend, true, x.Timing()
	tell(x.ctx, o)
}

package engine

import (
	"context"
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

// observer tells Config.Observe how an execution ended.
type observer struct{ x *Execution }

// Event waits for the end.
func (o observer) Event(ev Event) error {
	if c, ok := ev.(*Completed); ok {
		o.tell(Outcome{Usage: c.Usage})
	}
	return nil
}

// Failed is the other end.
func (o observer) Failed(err *Error) {
	out := Outcome{Err: err}
	if err.Usage != nil {
		out.Usage = *err.Usage
	}
	o.tell(out)
}

func (o observer) tell(out Outcome) {
	x := o.x
	if observe := x.engine.config.Load().Observe; observe != nil {
		out.Backend, out.Admitted, out.Timing = x.Backend, true, x.Timing()
		observe(x.ctx, out)
	}
}

package engine

import (
	"context"
	"errors"
	"time"
)

// A backend that keeps the conversation loses it when its turn is cut off: what its CLI
// remembers of that turn is not known then. So a turn whose client has gone is
// interrupted, and what there is of its answer goes to the watchers as if the client had
// seen it. One that does not end in time is cut off.

// outlive is a context for the call to a backend that ends only a while after the
// client has gone, and at once when anybody else ends the turn.
func (x *Execution) outlive() (ctx context.Context, stop func() bool) {
	ctx, end := context.WithCancelCause(context.WithoutCancel(x.ctx))
	return ctx, context.AfterFunc(x.ctx, func() {
		cause := context.Cause(x.ctx)
		if !errors.Is(cause, context.Canceled) {
			end(cause)
			return
		}
		time.AfterFunc(x.engine.cutWait, func() { end(cause) })
		x.deserted.Store(true)
		x.Interrupt()
	})
}

// windUp has a turn that is kept end properly after its client has gone.
func (x *Execution) windUp() {
	x.mu.Lock()
	over := !x.kept || x.closed
	x.mu.Unlock()
	if over {
		return
	}
	x.deserted.Store(true)
	x.Interrupt()
	late := time.AfterFunc(x.engine.cutWait, func() { x.cancel(errClosed) })
	defer late.Stop()
	for {
		if _, err := x.Next(); err != nil {
			return
		}
	}
}

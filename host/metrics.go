package host

import (
	"cmp"
	"context"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/meta"
)

// noDialect is the label of turns that belong to no request.
const noDialect = "none"

// observeTurn is what counts the turns; nil when metrics are off.
func (h *Host) observeTurn() func(context.Context, engine.Outcome) {
	if h.metrics == nil {
		return nil
	}
	return func(ctx context.Context, o engine.Outcome) {
		outcome := "ok"
		if o.Err != nil {
			outcome = httpapi.CodeName(o.Err.Code)
		}
		h.metrics.Turn(cmp.Or(httpapi.DialectOf(ctx), noDialect), outcome, o)
	}
}

// counter counts the kept sessions; nil: there is no store, or it keeps none.
func (h *Host) counter() meta.Store {
	if h.store == nil {
		return nil
	}
	c, _ := any(h.store).(meta.Store)
	return c
}

// sessionCount is the number of kept sessions, if it is known.
func (h *Host) sessionCount() (n int, ok bool) {
	if c := h.counter(); c != nil {
		return c.SessionCount()
	}
	return 0, false
}

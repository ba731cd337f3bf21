package host

import (
	"cmp"
	"context"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
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

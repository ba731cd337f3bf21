package compose

import (
	"context"
	"errors"
	"sync"

	"github.com/clinvk/clinvk/host/engine"
)

// ParallelOptions say how turns run side by side.
type ParallelOptions struct {
	// Max is how many run at a time; 0: all.
	Max int
	// FailFast ends all others when one fails.
	FailFast bool
	// Observe is told what happens; may be nil.
	Observe Observer
}

var errFailFast = errors.New("another one failed")

// Parallel runs turns side by side and returns when the last one has ended; outcomes
// are in the order of the turns. They begin in that order, too; those that are cancelled
// by then are not tried.
func Parallel(ctx context.Context, e Engine, turns []*engine.Turn, o ParallelOptions) []Outcome {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	observe := serial(o.Observe)
	out := make([]Outcome, len(turns))
	places := make(chan struct{}, max(1, len(turns)))
	if o.Max > 0 {
		places = make(chan struct{}, o.Max)
	}
	var wg sync.WaitGroup
	for i, t := range turns {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		case <-t.Cancelled:
		}
		if ctx.Err() != nil || cancelled(t) {
			out[i] = skip(i, notTried(ctx), observe)
			continue
		}
		wg.Go(func() {
			defer func() { <-places }()
			out[i] = run(ctx, e, i, t, observe)
			if out[i].Err != nil && o.FailFast {
				cancel(errFailFast)
			}
			if out[i].Err != nil && out[i].Err.Code == engine.CodeCanceled && errors.Is(context.Cause(ctx), errFailFast) {
				out[i].Err.Message = "cancelled because " + errFailFast.Error()
			}
		})
	}
	wg.Wait()
	return out
}

// cancelled says whether a turn is to end before it has begun.
func cancelled(t *engine.Turn) bool {
	select {
	case <-t.Cancelled: // nil: never
		return true
	default:
		return false
	}
}

// notTried says why a turn is not tried.
func notTried(ctx context.Context) string {
	if errors.Is(context.Cause(ctx), errFailFast) {
		return "not tried because " + errFailFast.Error()
	}
	return "not tried because the request was cancelled"
}

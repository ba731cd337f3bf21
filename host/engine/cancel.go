package engine

import (
	"context"
	"time"
)

// hardWait is how long after a turn was cut off its client may take to see the end:
// one that does not read its stream is waited for no longer.
const hardWait = time.Second

// Executions tells about those of an owner that wait, run, or were over not long ago,
// the newest first.
func (e *Engine) Executions(owner string, f Filter) []Record { return e.register.list(owner, f) }

// Execution tells about one of an owner's.
func (e *Engine) Execution(owner, id string) (Record, error) {
	found := e.register.find(owner, id)
	if found == nil {
		return Record{}, noExecution(id)
	}
	return found.snapshot(), nil
}

// Cancel ends an execution of an owner: one that waits leaves the queue, one that runs
// is interrupted, so that whoever asked for it gets what there is of the answer, and
// its session goes on. When the backend does not end it within five seconds the turn
// is cut off and fails. Cancel returns when the turn has ended, or will not soon, with
// what is known then. It is an error that the execution was over before, not that
// somebody else has cancelled it.
func (e *Engine) Cancel(ctx context.Context, owner, id string) (Record, error) {
	found := e.register.find(owner, id)
	if found == nil {
		return Record{}, noExecution(id)
	}
	if !found.cancel(e.cutWait) {
		record := found.snapshot()
		return record, Errorf(CodeConflict, "the execution %q is over: its state is %s", id, record.State)
	}
	late := time.NewTimer(e.cutWait + hardWait)
	defer late.Stop()
	select {
	case <-found.done:
	case <-late.C:
	case <-ctx.Done():
		return Record{}, AsError(context.Cause(ctx))
	}
	return found.snapshot(), nil
}

func noExecution(id string) *Error {
	return Errorf(CodeNotFound, "there is no execution %q; those that are over are forgotten after %v", clipName(id), keepPast)
}

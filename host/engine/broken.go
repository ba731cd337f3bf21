package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/engine/clip"
)

// A broken stream waits for the news that the process has ended, to tell how:
// exitWait when the plugin may live, deathWait when its connection is lost. Then it
// is dying, or about to be killed, and on a busy machine that takes its time.
const (
	exitWait  = 100 * time.Millisecond
	deathWait = time.Second
)

// patience is how long to wait for the end of a process whose stream broke so.
func patience(err error) time.Duration {
	switch {
	case errors.Is(err, errBreach): // it talks, and so it lives
		return 0
	case status.Code(err) == codes.Unavailable:
		return deathWait
	}
	return exitWait
}

// broken is the error for a stream that did not end as the contract says.
func (x *Execution) broken(err error) *Error {
	switch {
	case x.ctx.Err() != nil && !errors.Is(context.Cause(x.ctx), context.DeadlineExceeded):
		return x.canceled(err)
	case x.ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded:
		return &Error{Code: CodeTimeout, Message: "the turn took longer than its limit", Backend: x.to.backend, Err: err}
	}
	e := &Error{Code: CodeCLIFailure, Backend: x.to.backend, Err: err, Retryable: true}
	select {
	case <-x.lease.Exited():
		code, signal, tail := x.lease.Exit()
		how := fmt.Sprintf("exit status %d", code)
		if signal != "" {
			how = "signal: " + signal
		}
		e.Message = fmt.Sprintf("the plugin of backend %s ended in mid-turn (%s); it is being restarted", x.to.backend, how)
		e.ExitCode, e.StderrTail = &code, tail
		x.explain(e)
	case <-time.After(patience(err)):
		e.Message = clip.Text(fmt.Sprintf("the plugin of backend %s failed: %v", x.to.backend, err))
	}
	return e
}

// blameTime is how long after the host has stopped a process a failure comes of it:
// a plugin notices the end of its CLI at once, and tidies up.
const blameTime = 5 * time.Second

// explain makes the failure of a turn say that the host stopped its process, if it did.
func (x *Execution) explain(e *Error) {
	reason, at := x.lease.Stopped()
	if reason == "" || at.Before(x.begin) || time.Since(at) > blameTime {
		return
	}
	e.Err, e.Origin = errors.Join(e.Err, errors.New(e.Message)), OriginHost
	e.Message = "the turn was stopped because " + reason
}

func (x *Execution) canceled(err error) *Error {
	if e, ok := errors.AsType[*Error](context.Cause(x.ctx)); ok { // of one that cancelled it
		return e
	}
	return &Error{Code: CodeCanceled, Message: "the request was cancelled", Backend: x.to.backend, Err: err}
}

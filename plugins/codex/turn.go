package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

const (
	// stopTime bounds the stop of a turn; it takes 6 ms.
	stopTime = time.Second
	// retryTime is how long the CLI may try again before a failure is reported.
	retryTime = time.Second
	// silence is how long after a failed answer the CLI may say nothing: then it
	// waits as long as the model server told it to, before it tries once more.
	silence = 100 * time.Millisecond
	// callTime bounds a request that the app-server does by itself. 20 MiB of
	// history take less than a second.
	callTime = time.Minute
	// heldTime is how long a call of a client's tool waits for the end of the model's
	// answer, which follows in milliseconds unless the model writes on.
	heldTime = time.Second
	// logTime is how long the log may lag behind stdout.
	logTime = 200 * time.Millisecond
)

var (
	// errWaiting says that the CLI waits before it tries again another way.
	errWaiting = errors.New("the CLI waits before it tries again")
	// errSilent says that a request was not answered.
	errSilent = errors.New("codex app-server does not answer")
	// errStuck says that a turn could not be stopped.
	errStuck = errors.New("codex app-server did not stop a turn")
	// errInterrupted ends a turn that was asked to end early.
	errInterrupted = errors.New("the turn was interrupted")
	// errFinished ends a turn whose answer is complete as far as it goes.
	errFinished = errors.New("the answer is complete")
)

// run is one turn in one thread. It is used by one goroutine.
type run struct {
	client *appserver.Client
	thread thread
	turn   *plugins.Turn
	out    *plugins.Stream
	live   bool // the thread has had turns before
	socket bool // the thread may talk over WebSocket
	first  bool // of the runs of this turn

	inbox    *appserver.Inbox
	turnID   string
	used     tokenUsage // of the thread
	before   tokenUsage // of the thread, before this turn
	steps    int        // finished model calls
	called   bool       // a tool since the last finished model call
	sent     map[string]int
	lastText string // item of the text so far
	// unfinished is the text of that item until the CLI says that it is whole.
	unfinished strings.Builder
	answered   *appserver.LogRecord
	failed     *turnError
	waitFor    *time.Timer
	waitError  error // what the end of waitFor means
	fellBack   bool
	approvals  approvals
	finish     plugins.FinishReason
	tools      clientTools
	toolCalls  int               // of the client's tools
	held       []json.RawMessage // calls of the client's tools that the CLI waits for
	told       bool              // the thread has the items
	uncounted  bool              // before is not known
	heldFor    *time.Timer
}

// begin says that the turn is at work, before its first event.
func (r *run) begin() error { return r.out.Started(r.thread.model, r.live) }

// do puts items into the thread, has the model answer and reports all that
// happens. It returns nil when the turn completed.
func (r *run) do(ctx context.Context, items []object, start object) (err error) {
	inbox, unsubscribe := r.client.Subscribe(r.thread.id)
	defer unsubscribe()
	r.inbox, r.sent = inbox, map[string]int{}
	r.waitFor, r.heldFor = stopped(), stopped()
	defer r.waitFor.Stop()
	defer r.heldFor.Stop()
	r.approvals.start()
	defer r.approvals.stop()
	// The turn's id is needed to stop it, so the start outlives ctx for a moment.
	graced, cancel := grace(ctx, stopTime)
	defer cancel()
	if len(items) > 0 {
		err = patiently(graced, func() error {
			return r.client.Call(graced, "thread/inject_items", object{"threadId": r.thread.id, "items": items}, nil)
		})
		if err != nil {
			return r.rpcFailed(ctx, err)
		}
	}
	r.told = true
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var started struct {
		Turn struct {
			ID string `json:"id"`
		} `json:"turn"`
	}
	start["threadId"], start["input"] = r.thread.id, []any{}
	err = patiently(graced, func() error { return r.client.Call(graced, "turn/start", start, &started) })
	if err != nil {
		return r.rpcFailed(ctx, err)
	}
	r.turnID = started.Turn.ID
	return r.loop(ctx)
}

// stopped is a timer that does not run yet.
func stopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (r *run) rpcFailed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return errors.Join(context.Cause(ctx), errStuck)
	case errors.Is(err, errSilent):
		return errors.Join(plugins.Errorf(plugins.CodeCLIFailure, "%w", err), errStuck)
	}
	return rpcFailure(r.client, err)
}

// grace is ctx, ended only d after ctx ends, or by callTime.
func grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	limited, release := context.WithTimeoutCause(context.WithoutCancel(ctx), callTime, errSilent)
	out, cancel := context.WithCancelCause(limited)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
	})
	return out, func() { stop(); cancel(context.Canceled); release() }
}

func (r *run) loop(ctx context.Context) error {
	interrupted := r.turn.Interrupted
	for {
		done, err := r.drain(ctx)
		if done || err != nil {
			return r.end(ctx, err)
		}
		select {
		case <-r.inbox.Ready():
		case <-r.client.Gone():
			if done, err := r.drain(ctx); done || err != nil { // what it said before its end
				return r.end(ctx, err)
			}
			return crashed(r.client)
		case <-ctx.Done():
			return r.end(ctx, context.Cause(ctx))
		case <-interrupted:
			return r.end(ctx, errInterrupted)
		case <-r.waitFor.C:
			return r.end(ctx, r.waitError)
		case <-r.heldFor.C:
			if err := r.letGo(); err != nil {
				return r.end(ctx, err)
			}
		case d := <-r.approvals.decided:
			if err := r.client.Reply(d.request, object{"decision": d.word}); err != nil {
				return r.end(ctx, err)
			}
		}
	}
}

// end stops the turn unless it is over and says how it went.
func (r *run) end(ctx context.Context, err error) error {
	over, isOver := errors.AsType[*turnOver](err)
	if err == nil {
		return nil
	}
	if isOver {
		return r.result(ctx, over)
	}
	if errors.Is(err, errWaiting) && r.failed != nil && r.tooEarly(*r.failed) {
		err = errFinished // its warning was late
	}
	stopErr := r.stop()
	switch {
	case errors.Is(err, errInterrupted):
		r.finish = plugins.FinishInterrupted
		err = nil
	case errors.Is(err, errFinished):
		err = nil
	}
	if stopErr != nil && errors.Is(stopErr, errStuck) {
		return errors.Join(err, errStuck)
	}
	return err
}

// stop interrupts the turn. The CLI answers when the connection to the model
// server is closed.
func (r *run) stop() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), stopTime, errStuck)
	defer cancel()
	err := r.client.Call(ctx, "turn/interrupt", object{"threadId": r.thread.id, "turnId": r.turnID}, nil)
	if rpc, ok := errors.AsType[*appserver.RPCError](err); ok && !rpc.Overloaded() {
		return nil // the turn was over already
	}
	return err
}

// drain handles the events that wait. done says that the turn completed.
func (r *run) drain(ctx context.Context) (done bool, err error) {
	events, overflow := r.inbox.Take()
	for _, e := range events {
		if done, err = r.handle(ctx, e); done || err != nil {
			return done, err
		}
	}
	if overflow {
		return false, plugins.Errorf(plugins.CodeInternal, "the answer came faster than it was read; read it faster")
	}
	return false, nil
}

// turnOver is the end of a turn that did not complete, as the CLI said it.
type turnOver struct {
	status string
	cause  turnError
}

func (t *turnOver) Error() string { return "the turn ended as " + t.status + ": " + t.cause.Message }

func (r *run) handle(ctx context.Context, e appserver.Event) (done bool, err error) {
	if e.Log != nil {
		r.logged(e.Log)
		return false, nil
	}
	if e.Request != nil {
		return false, r.requested(ctx, e)
	}
	switch e.Method {
	case "turn/completed":
		return r.completed(e.Params)
	case "error":
		return false, r.errored(e.Params)
	case "warning":
		return false, r.warned(e.Params)
	case "thread/tokenUsage/updated":
		return false, r.counted(e.Params)
	case "rawResponseItem/completed":
		return false, r.rawItem(e.Params)
	case "rawResponse/completed":
		return false, r.rawResponse(e.Params)
	}
	return false, r.item(e)
}

// repeatable says that the same turn may be run once more: the model server has
// not seen it, its answer was refused and the CLI would only wait, or it failed
// for the first time and told nothing about waiting. The CLI makes such a second
// request by itself when it falls back from WebSocket.
func (r *run) repeatable(err error) bool {
	if errors.Is(err, errWaiting) || (errors.Is(err, appserver.ErrGone) && r.turnID == "") {
		return true
	}
	e, ok := errors.AsType[*plugins.Error](err)
	return ok && e.Code == plugins.CodeUpstreamFailure && e.UpstreamStatus != 0 && e.RetryAfter == 0 &&
		r.first && !r.fellBack && !r.out.Answered()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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
	// logTime is how long the log may lag behind stdout.
	logTime = 200 * time.Millisecond
)

var (
	// errWaiting says that the CLI waits before it tries again another way.
	errWaiting = errors.New("the CLI waits before it tries again")
	// errStuck says that a turn could not be stopped.
	errStuck = errors.New("codex app-server did not stop a turn")
	// errInterrupted ends a turn that was asked to end early.
	errInterrupted = errors.New("the turn was interrupted")
)

// run is one turn in one thread. It is used by one goroutine.
type run struct {
	client *appserver.Client
	thread thread
	turn   *plugins.Turn
	out    *plugins.Stream
	live   bool // the thread has had turns before
	socket bool // the thread talks over WebSocket

	inbox     *appserver.Inbox
	turnID    string
	used      tokenUsage // of the thread
	before    tokenUsage // of the thread, before this turn
	steps     int        // finished model calls
	called    bool       // a tool since the last finished model call
	sent      map[string]int
	lastText  string // item of the text so far
	answered  *appserver.LogRecord
	failed    *turnError
	waitFor   *time.Timer
	waitError error // what the end of waitFor means
	fellBack  bool
	approvals approvals
	finish    plugins.FinishReason
	tools     clientTools
	toolCalls int // of the client's tools
}

// begin says that the turn is at work, before its first event.
func (r *run) begin() error { return r.out.Started(r.thread.model, r.live) }

// do puts items into the thread, has the model answer and reports all that
// happens. It returns nil when the turn completed.
func (r *run) do(ctx context.Context, items []object, start object) (err error) {
	inbox, unsubscribe := r.client.Subscribe(r.thread.id)
	defer unsubscribe()
	r.inbox, r.sent = inbox, map[string]int{}
	r.waitFor = time.NewTimer(0)
	if !r.waitFor.Stop() {
		<-r.waitFor.C
	}
	defer r.waitFor.Stop()
	r.approvals.start()
	defer r.approvals.stop()
	// The turn's id is needed to stop it, so the start outlives ctx for a moment.
	graced, cancel := grace(ctx, stopTime)
	defer cancel()
	err = patiently(graced, func() error {
		return r.client.Call(graced, "thread/inject_items", object{"threadId": r.thread.id, "items": items}, nil)
	})
	if err != nil {
		return r.rpcFailed(ctx, err)
	}
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

func (r *run) rpcFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), errStuck)
	}
	return rpcFailure(r.client, err)
}

// grace is ctx, ended only d after ctx ends.
func grace(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { cancel(context.Cause(ctx)) })
	})
	return out, func() { stop(); cancel(context.Canceled) }
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

// completed takes the end of the turn.
func (r *run) completed(params json.RawMessage) (bool, error) {
	var p struct {
		Turn struct {
			ID     string     `json:"id"`
			Status string     `json:"status"`
			Error  *turnError `json:"error"`
		} `json:"turn"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return false, fmt.Errorf("reading the end of a turn: %w", err)
	}
	if p.Turn.ID != r.turnID {
		return false, nil
	}
	if p.Turn.Status == "completed" {
		return true, nil
	}
	over := &turnOver{status: p.Turn.Status}
	switch {
	case p.Turn.Error != nil:
		over.cause = *p.Turn.Error
	case r.failed != nil:
		over.cause = *r.failed
	}
	return false, over
}

// result makes the error, or the finish, of a turn that did not complete.
func (r *run) result(ctx context.Context, over *turnOver) error {
	if over.status == "interrupted" && over.cause.Message == "" {
		return plugins.Errorf(plugins.CodeCLIFailure, "the Codex CLI interrupted the turn by itself")
	}
	if reason, ok := incomplete(over.cause.Message); ok {
		r.finish = reason
		return nil
	}
	if r.answered == nil {
		r.awaitLog(ctx)
	}
	return failure(over.cause, r.answered)
}

// awaitLog waits for the line of the log that has the head of the answer: it
// comes by another pipe.
func (r *run) awaitLog(ctx context.Context) {
	timer := time.NewTimer(logTime)
	defer timer.Stop()
	for r.answered == nil {
		select {
		case <-r.inbox.Ready():
		case <-timer.C:
			return
		case <-r.client.Gone():
			return
		case <-ctx.Done():
			return
		}
		events, _ := r.inbox.Take()
		for _, e := range events {
			if e.Log != nil {
				r.logged(e.Log)
			}
		}
	}
}

// incomplete knows the ends that are no failures.
func incomplete(message string) (plugins.FinishReason, bool) {
	_, reason, ok := strings.Cut(message, "Incomplete response returned, reason: ")
	switch {
	case !ok:
		return 0, false
	case strings.HasPrefix(reason, "max_output_tokens"):
		return plugins.FinishLength, true
	case strings.HasPrefix(reason, "content_filter"):
		return plugins.FinishContentFilter, true
	}
	return 0, false
}

// logged takes what the log told.
func (r *run) logged(l *appserver.LogRecord) {
	switch l.Kind {
	case appserver.Answered:
		r.answered = l
	case appserver.StreamFailed:
		if r.socket && !r.fellBack && r.failed == nil {
			r.failed = &turnError{Message: l.Message}
			r.wait(silence, errWaiting)
		}
	}
}

func (r *run) wait(d time.Duration, then error) {
	r.waitError = then
	r.waitFor.Reset(d)
}

// errored takes the notice of a failure: the last one, or one after which the
// CLI tries again.
func (r *run) errored(params json.RawMessage) error {
	var p struct {
		TurnID    string    `json:"turnId"`
		Error     turnError `json:"error"`
		WillRetry bool      `json:"willRetry"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading an error of the CLI: %w", err)
	}
	if p.TurnID != r.turnID {
		return nil
	}
	first := r.failed == nil
	r.failed = &p.Error
	if !p.WillRetry {
		return nil // the end of the turn follows
	}
	f := failure(p.Error, r.answered)
	// The CLI would send the answer from its beginning once more.
	hopeless := !f.Retryable || r.out.Answered()
	if hopeless {
		return f
	}
	if first {
		r.wait(retryTime, f)
	}
	return nil
}

// fallback begins the notice that the CLI gives up on WebSocket and repeats the
// request; the reason follows.
const fallback = "Falling back from WebSockets to HTTPS transport. "

func (r *run) warned(params json.RawMessage) error {
	var p struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading a warning of the CLI: %w", err)
	}
	reason, ok := strings.CutPrefix(p.Message, fallback)
	if !ok {
		return nil // about the CLI's own affairs, such as a model that it does not know
	}
	r.waitFor.Stop()
	r.fellBack, r.failed = true, nil
	if finish, ok := incomplete(reason); ok {
		r.finish = finish
		return errFinished
	}
	if r.out.Answered() {
		return failure(turnError{Message: reason}, r.answered)
	}
	return nil
}

// errFinished ends a turn whose answer is complete as far as it goes.
var errFinished = errors.New("the answer is complete")

// counted takes the usage, which comes after each model call.
func (r *run) counted(params json.RawMessage) error {
	var p struct {
		TurnID string `json:"turnId"`
		Usage  struct {
			Total tokenUsage `json:"total"`
		} `json:"tokenUsage"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading the usage: %w", err)
	}
	used := p.Usage.Total.since(r.before)
	if p.TurnID != r.turnID || used == (tokenUsage{}) {
		return nil // a failed answer is counted as nothing
	}
	r.used = p.Usage.Total
	r.steps++
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.out.Usage(used.report()); err != nil {
		return err
	}
	called := r.called
	r.called = false
	return r.checkSteps(called)
}

// checkSteps ends a turn that has called a tool after its last model call.
func (r *run) checkSteps(called bool) error {
	if called && r.turn.MaxSteps > 0 && r.steps >= r.turn.MaxSteps {
		r.finish = plugins.FinishLength
		return errFinished
	}
	return nil
}

// repeatable says that the same turn may be run once more: the model server has
// not seen it, or its answer was refused and the CLI would only wait.
func (r *run) repeatable(err error) bool {
	return errors.Is(err, errWaiting) || (errors.Is(err, appserver.ErrGone) && r.turnID == "")
}

// waitedFailure is the error of a wait that is not worth it.
func (r *run) waitedFailure() error {
	cause := turnError{Message: http.StatusText(http.StatusBadGateway)}
	if r.failed != nil {
		cause = *r.failed
	}
	return failure(cause, r.answered)
}

package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// errLost is returned when the CLI does not find the session that it was to resume.
var errLost = &plugins.Error{Code: plugins.CodeCLIFailure, Message: "Claude Code does not find the session's transcript", Retryable: true}

// noSession is what the CLI says then.
const noSession = "No conversation found"

// answer is one turn in the making.
type answer struct {
	turn *plugins.Turn
	out  *plugins.Stream
	p    *process
	// live says that the process was told all but the messages of this turn before.
	live     bool
	messages []plugins.Message // that the process does not hold
	signer   string            // the model that is asked, and that earlier reasoning is from

	begun       func() // is called when the model begins to answer
	underway    bool   // the CLI has begun with the message to answer
	interrupted atomic.Bool
	helpers     sync.WaitGroup

	tally    tally
	streamed map[string]bool // ids of messages that came as events
	open     map[int]*openBlock
	said     bool   // something of the current message was received
	stop     string // why the current message ended
	failure  string // the CLI's word for the error that it is about to report
	retries  int

	finish  plugins.Finish
	clean   bool   // the process is at rest and could take another turn
	settled bool   // the process is at rest and its session holds the turn
	last    string // id of the last message of the model
}

// openBlock is a content block that is being received.
type openBlock struct {
	block     wire.Block
	arguments strings.Builder
	signature strings.Builder
}

func newAnswer(turn *plugins.Turn, out *plugins.Stream, p *process, live bool, signer string) *answer {
	return &answer{
		turn: turn, out: out, p: p, live: live, messages: told(turn.Messages[p.held:], signer), signer: signer,
		streamed: map[string]bool{}, open: map[int]*openBlock{},
	}
}

// run tells the CLI what it needs to know and takes in what it answers.
func (a *answer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer a.helpers.Wait()
	defer cancel()
	a.p.log.Reset()
	a.helpers.Go(func() { a.watchInterrupt(ctx) })
	if err := a.tell(ctx); err != nil {
		return err
	}
	if a.interrupted.Load() {
		return a.finishInterrupted()
	}
	if err := a.ask(); err != nil {
		return err
	}
	for {
		line, err := a.p.next(ctx)
		if err != nil {
			return err
		}
		a.underway = a.underway || begins(line)
		if done, err := a.take(ctx, line); done || err != nil {
			return err
		}
	}
}

// begins says that a line shows the CLI at work on the message. What it says about
// itself may be left over from the turn before.
func begins(line *wire.Line) bool {
	switch line.Type {
	case wire.TypeStreamEvent, wire.TypeAssistant, wire.TypeUser, wire.TypeControlRequest, wire.TypeResult:
		return true
	}
	return line.Type == wire.TypeSystem && (line.Subtype == wire.SubtypeInit || line.Subtype == wire.SubtypeRetry)
}

// watchInterrupt passes the caller's wish to stop on to the CLI, and ends the CLI
// when it does not follow.
func (a *answer) watchInterrupt(ctx context.Context) {
	select {
	case <-a.turn.Interrupted:
	case <-ctx.Done():
		return
	}
	a.interrupted.Store(true)
	_, _ = a.p.control(wire.Plain("interrupt")) // a process that is gone has stopped too
	timer := time.NewTimer(interruptGrace)
	defer timer.Stop()
	select {
	case <-timer.C:
		a.p.proc.Kill()
	case <-ctx.Done():
	}
}

func (a *answer) finishInterrupted() error {
	a.finish.Reason = plugins.FinishInterrupted
	a.clean = false // its history now holds the interruption
	return nil
}

// take takes in one line; done says that the turn has ended well.
func (a *answer) take(ctx context.Context, line *wire.Line) (done bool, err error) {
	if line.Parent != "" {
		return false, nil // of a subagent; what it finds out comes as a tool's result
	}
	switch line.Type {
	case wire.TypeStreamEvent:
		return a.event(line.Event)
	case wire.TypeAssistant:
		return false, a.message(line)
	case wire.TypeUser:
		return false, a.toolResults(line.Message)
	case wire.TypeSystem:
		if line.Retry != nil {
			return false, a.retrying(ctx, line)
		}
	case wire.TypeControlRequest:
		a.permission(ctx, line.Request)
	case wire.TypeControlResponse:
		return false, refused(line.Response)
	case wire.TypeResult:
		return true, a.result(ctx, line)
	}
	return false, nil
}

// retrying lets the CLI's retry run, or fails the turn at once.
func (a *answer) retrying(ctx context.Context, line *wire.Line) error {
	t := trouble{
		kind: line.Failure, partial: a.said, stderr: a.p.log.Tail(),
		delay: time.Duration(line.Retry.DelayMS * float64(time.Millisecond)),
	}
	if line.Retry.Status != nil {
		t.status = *line.Retry.Status
		t.log = a.p.upstream(ctx, t.status)
	}
	if a.retries < maxRetries && worthRetrying(line.Retry, t.log, a.said) {
		a.retries++
		a.tally.again()
		a.p.log.Reset()
		return nil
	}
	return t.err()
}

// result ends the turn.
func (a *answer) result(ctx context.Context, line *wire.Line) error {
	r := line.Result
	switch {
	case a.interrupted.Load():
		a.settled = true
		return a.finishInterrupted()
	case !r.IsError && len(a.streamed) == 0:
		// It answered by itself, as it does to what it takes for a command.
		return plugins.Errorf(plugins.CodeInvalidRequest, "Claude Code did not pass the message on to the model: %s", r.Text)
	case !r.IsError:
		a.clean, a.settled = true, true
		return a.finished()
	case line.Subtype == "error_max_turns":
		a.settled = true
		a.finish.Reason = plugins.FinishLength
		return nil
	case a.stop == stopRefusal:
		return a.finished()
	}
	return a.failed(ctx, r)
}

// failed is the error that a result reports.
func (a *answer) failed(ctx context.Context, r *wire.Result) error {
	t := trouble{kind: a.failure, text: r.Text, partial: a.said, stderr: a.p.log.Tail()}
	if t.text == "" {
		t.text = strings.Join(r.Errors, "; ")
	}
	if a.p.session != "" && strings.Contains(t.text, noSession) {
		return errLost
	}
	if r.Status != nil {
		t.status = *r.Status
		t.log = a.p.upstream(ctx, t.status)
	}
	return t.err()
}

// Reasons of the API for the end of a message.
const (
	stopEnd      = "end_turn"
	stopSequence = "stop_sequence"
	stopLength   = "max_tokens"
	stopContext  = "model_context_window_exceeded"
	stopTools    = "tool_use"
	stopRefusal  = "refusal"
)

// finished maps the API's reason.
func (a *answer) finished() error {
	switch a.stop {
	case stopLength, stopContext:
		a.finish.Reason = plugins.FinishLength
	case stopSequence:
		a.finish.Reason = plugins.FinishStopSequence
	case stopRefusal:
		a.finish.Reason = plugins.FinishContentFilter
	case stopTools:
		a.finish.Reason = plugins.FinishToolCalls
		if a.turn.Mode == plugins.ModeAgent {
			a.finish.Reason = plugins.FinishStop // the CLI ran them itself
		}
	default:
		a.finish.Reason = plugins.FinishStop
	}
	return nil
}

// permission answers the CLI's question whether a tool may run, without holding
// up what else it says.
func (a *answer) permission(ctx context.Context, r *wire.ControlRequest) {
	a.helpers.Go(func() {
		body := wire.Deny("clinvk does not answer " + r.Subtype)
		if r.Subtype == "can_use_tool" {
			body = a.decide(ctx, r)
		}
		_ = a.p.send(wire.Answer{ID: r.ID, Body: body}) // a process that is gone ends the turn
	})
}

// decide answers for the mode: none allows everything that the sandbox does not
// forbid, all others ask the client, and without one deny.
func (a *answer) decide(ctx context.Context, r *wire.ControlRequest) any {
	if a.turn.Mode != plugins.ModeAgent {
		return wire.Deny("tools are not available")
	}
	if a.turn.Approval == plugins.ApprovalNone && a.turn.Sandbox != plugins.SandboxWorkspace {
		return wire.Allow(r.Input)
	}
	d, err := a.out.Approve(ctx, plugins.Approval{
		ID:     r.ID,
		Call:   plugins.ToolCall{ID: r.CallID, Name: r.Tool, Arguments: string(r.Input), Origin: plugins.OriginBackend},
		Reason: r.Reason,
	})
	switch {
	case errors.Is(err, plugins.ErrNobodyToAsk):
		return wire.Deny("this needs an approval, and there is nobody to ask")
	case err != nil:
		return wire.Deny("the turn is over")
	case !d.Allow && d.Reason != "":
		return wire.Deny(d.Reason)
	case !d.Allow:
		return wire.Deny("the user denied it")
	}
	return wire.Allow(r.Input)
}

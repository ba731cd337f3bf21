package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/acp"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// stopTimeout is how long the CLI may take to end a turn that was cancelled; it
// takes a few milliseconds. After it the process is killed.
const stopTimeout = 700 * time.Millisecond

// endTimeout is the same for a turn that was interrupted and whose session is kept: a
// shell command takes the CLI up to a second to end, and more on a busy machine.
const endTimeout = 5 * time.Second

// turnRun is one turn at work in a session.
type turnRun struct {
	turn    *plugins.Turn
	out     *plugins.Stream
	session *fleet.Session
	model   string
	tools   toolLog
	// keeper is nil when the conversation is not to be kept.
	keeper *keeper
	text   strings.Builder // of the answer, when it is to be kept
	// thought says that reasoning was sent and the answer not begun.
	thought bool
	written int // bytes of text and reasoning
	// settled says that the CLI is done with the turn, so that its process can take
	// another.
	settled bool
}

func (t *turnRun) run(ctx context.Context, prompt string) error {
	t.tools.init(t)
	if err := t.session.Prompt(prompt); err != nil {
		return cliError(err)
	}
	// The turn's end, hard or soft, ends the waiting for the CLI.
	wait, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := make(chan struct{})
	defer func() { stop(nil); <-watched }()
	go func() {
		defer close(watched)
		select {
		case <-t.turn.Interrupted:
			stop(errInterrupted)
		case <-wait.Done():
		}
	}()
	for {
		m, err := t.next(wait)
		if errors.Is(err, errPoll) {
			err = t.tools.settle(false)
			if err == nil {
				continue
			}
		}
		if err == nil && m.IsReply() {
			t.settled = true
			return t.finish(m)
		}
		if err == nil {
			err = t.handle(wait, m)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errInterrupted) {
			return t.interrupt(ctx)
		}
		if ctx.Err() != nil {
			t.abandon(context.Background(), stopTimeout)
			return context.Cause(ctx)
		}
		var exit *fleet.ExitError
		if errors.As(err, &exit) {
			return cliError(err)
		}
		t.abandon(context.Background(), stopTimeout) // the host is gone, or the CLI talks nonsense
		return err
	}
}

var (
	errInterrupted = errors.New("interrupted")
	errPoll        = errors.New("time to look at the session file")
)

// next waits for the CLI; while results are pending only for a moment.
func (t *turnRun) next(ctx context.Context) (acp.Message, error) {
	if len(t.tools.pending) > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, pollInterval, errPoll)
		defer cancel()
	}
	return t.session.Next(ctx)
}

// handle takes in one message of the CLI that is not the turn's end.
func (t *turnRun) handle(ctx context.Context, m acp.Message) error {
	switch {
	case m.Method == acp.MethodRequestPermission:
		return t.tools.permission(ctx, m)
	case m.ID != nil:
		return t.session.Refuse(m, "not supported")
	case m.Method != acp.MethodUpdate:
		return nil
	}
	u, err := m.Update()
	if err != nil {
		return &plugins.Error{Code: plugins.CodeCLIFailure, Message: err.Error(), Err: err}
	}
	if u.Kind != acp.UpdateCommands {
		if err := t.out.Started(t.model, false); err != nil {
			return err
		}
	}
	switch u.Kind {
	case acp.UpdateText:
		if err := t.tools.settle(true); err != nil {
			return err
		}
		t.written += len(u.Text())
		if t.keeper != nil {
			t.text.WriteString(u.Text())
		}
		t.thought = false
		return t.out.Text(u.Text())
	case acp.UpdateThought:
		if err := t.tools.settle(true); err != nil {
			return err
		}
		return t.reason(u.Text())
	case acp.UpdateTool, acp.UpdateToolMore:
		t.thought = false
		return t.tools.update(u)
	}
	return nil
}

// reason sends one thought. The CLI has taken it apart into subject and
// description and dropped the space around.
func (t *turnRun) reason(text string) error {
	text, plain := cutSubject(text)
	if t.thought {
		if plain {
			text = " " + text
		} else {
			text = "\n\n" + text
		}
	}
	t.thought = true
	t.written += len(text)
	return t.out.Reasoning(text)
}

// cutSubject takes away the mark of an empty subject; plain says that it was there.
func cutSubject(text string) (rest string, plain bool) {
	const empty = "****\n"
	if len(text) >= len(empty) && text[:len(empty)] == empty {
		return text[len(empty):], true
	}
	return text, false
}

// finish ends the turn with the CLI's reply.
func (t *turnRun) finish(m acp.Message) error {
	responses, recordErr := t.session.Responses()
	if len(responses) > 0 {
		if err := t.out.Usage(wire.Total(responses)); err != nil {
			return err
		}
	}
	if m.Err != nil {
		return upstreamError(m.Err, t.session.Reports())
	}
	if recordErr != nil {
		return &plugins.Error{Code: plugins.CodeCLIFailure, Message: recordErr.Error(), Err: recordErr}
	}
	var r acp.PromptResult
	if err := json.Unmarshal(m.Result, &r); err != nil {
		return plugins.Errorf(plugins.CodeCLIFailure, "reading the end of the turn: %w", err)
	}
	if err := t.tools.finish(responses); err != nil {
		return err
	}
	f := plugins.Finish{Model: t.model}
	var err error
	if len(t.turn.Tools) > 0 && len(responses) > 0 && len(responses[0].Calls) > 0 {
		f.Reason = plugins.FinishToolCalls
		if early, ok := cutShort(responses[0].Finish); ok {
			f.Reason = early // there may have been more calls to come
		}
		err = t.hand(responses[0].Calls)
	} else {
		f.Reason, err = reason(r.StopReason, responses)
	}
	if err != nil {
		return err
	}
	f.SessionToken = t.kept()
	t.out.Finish(f)
	return nil
}

// hand gives the client's tools their calls, each after the signature of the reasoning
// that led to it: newer models demand it back.
func (t *turnRun) hand(calls []wire.FunctionCall) error {
	for _, c := range calls {
		args := string(c.Args)
		if args == "" {
			args = "{}"
		}
		if c.Signature != "" {
			if err := t.out.ReasoningSignature(wire.Signature(c.Signature)); err != nil {
				return err
			}
		}
		if err := t.out.ToolCallStarted(c.ID, c.Name, plugins.OriginClient); err != nil {
			return err
		}
		if err := t.out.ToolCallDelta(c.ID, args); err != nil {
			return err
		}
		if err := t.out.ToolCall(plugins.ToolCall{ID: c.ID, Name: c.Name, Arguments: args, Origin: plugins.OriginClient}); err != nil {
			return err
		}
	}
	return nil
}

// cutShort knows the API's words for answers that ended before the model was done.
func cutShort(finish string) (plugins.FinishReason, bool) {
	switch finish {
	case "MAX_TOKENS":
		return plugins.FinishLength, true
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "LANGUAGE":
		return plugins.FinishContentFilter, true
	}
	return 0, false
}

// reason says why the turn ended: the protocol loses it, the record has it.
func reason(stop string, responses []wire.Response) (plugins.FinishReason, error) {
	if len(responses) == 0 {
		if stop == acp.StopMaxTokens {
			return 0, &plugins.Error{Code: plugins.CodeTooLarge, Message: "the conversation is larger than the model's context window"}
		}
		return 0, &plugins.Error{Code: plugins.CodeUpstreamFailure, Retryable: true, Message: "the model gave no answer"}
	}
	if stop == acp.StopMaxTurns {
		return plugins.FinishLength, nil // MaxSteps
	}
	last := responses[len(responses)-1]
	if early, ok := cutShort(last.Finish); ok {
		return early, nil
	}
	switch last.Finish {
	case "":
		if last.Blocked {
			return 0, &plugins.Error{Code: plugins.CodeContentPolicy, Message: "the provider's safety settings refused the prompt"}
		}
		return 0, &plugins.Error{Code: plugins.CodeUpstreamFailure, Retryable: true, Message: "the provider's answer broke off"}
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL":
		return 0, &plugins.Error{Code: plugins.CodeUpstreamFailure, Retryable: true, Message: "the model made a call that cannot be read"}
	}
	return plugins.FinishStop, nil
}

// interrupt ends the turn early and keeps what has come. The provider's usage is
// lost then; ours is an estimate.
func (t *turnRun) interrupt(ctx context.Context) error {
	if t.keeper != nil {
		t.abandon(ctx, endTimeout)
	} else {
		t.abandon(context.Background(), stopTimeout)
	}
	if err := t.tools.settle(true); err != nil {
		return err
	}
	input, output := int64(t.promptBytes()/bytesPerToken), int64((t.written+bytesPerToken-1)/bytesPerToken)
	if err := t.out.Usage(plugins.Usage{InputTokens: &input, OutputTokens: &output, Estimated: true}); err != nil {
		return err
	}
	f := plugins.Finish{Reason: plugins.FinishInterrupted, Model: t.model}
	if t.settled { // otherwise the CLI may still be writing
		f.SessionToken = t.kept()
	}
	t.out.Finish(f)
	return nil
}

// bytesPerToken is the usual rule of thumb.
const bytesPerToken = 4

func (t *turnRun) promptBytes() int {
	n := len(t.turn.System)
	for _, m := range t.turn.Messages {
		for _, p := range m.Parts {
			if text, ok := p.(plugins.Text); ok {
				n += len(text)
			}
		}
	}
	return n
}

// abandon has the CLI end the turn, which closes its connection to the provider,
// and waits for that. Without an answer the process is not fit for another turn.
func (t *turnRun) abandon(ctx context.Context, timeout time.Duration) {
	if t.session.Cancel() != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the CLI did not end the turn"))
	defer cancel()
	for {
		m, err := t.session.Next(ctx)
		if err != nil {
			return
		}
		if m.IsReply() {
			t.settled = true
			return
		}
		if m.ID != nil {
			_ = t.session.Refuse(m, "the turn is over")
			continue
		}
		// What became of a call is told as long as somebody listens.
		if u, err := m.Update(); err == nil && (u.Kind == acp.UpdateTool || u.Kind == acp.UpdateToolMore) {
			_ = t.tools.update(u)
		}
	}
}

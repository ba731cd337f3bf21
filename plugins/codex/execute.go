package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// Execute implements plugins.Backend.
func (b *backend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	if err := b.check(turn); err != nil {
		return err
	}
	turn = turn.AskForObject()
	if _, err := b.checker.ready(ctx); err != nil {
		return err
	}
	if turn.Mode == plugins.ModeAgent {
		return b.executeAgent(ctx, turn, out)
	}
	return b.executeChat(ctx, turn, out)
}

// check refuses what would be silently left out otherwise.
func (b *backend) check(turn *plugins.Turn) error {
	switch {
	case b.checker == nil:
		return plugins.Errorf(plugins.CodeInternal, "the backend was not configured")
	case len(turn.ExtraArguments) > 0:
		return plugins.Errorf(plugins.CodeInvalidRequest, "codex takes no extra arguments: all turns share one process")
	case len(turn.Messages) == 0:
		return plugins.Errorf(plugins.CodeInvalidRequest, "there is no message to answer")
	case len(turn.Tools) > 0 && turn.Mode == plugins.ModeAgent:
		return plugins.Errorf(plugins.CodeUnsupported, "codex takes the client's tools in chat mode only")
	case turn.ToolChoice.Kind == plugins.ToolChoiceRequired || turn.ToolChoice.Kind == plugins.ToolChoiceName:
		return plugins.Errorf(plugins.CodeUnsupported, "codex cannot be told to call a tool; leave the choice to the model")
	case len(turn.OutputSchema) > 0 && !json.Valid(turn.OutputSchema):
		return plugins.Errorf(plugins.CodeInvalidRequest, "the output schema is not JSON")
	}
	return nil
}

// startParams are those of turn/start besides thread and input.
func (b *backend) startParams(turn *plugins.Turn) object {
	p := object{}
	if turn.Sampling.ReasoningEffort != "" {
		p["effort"] = turn.Sampling.ReasoningEffort
	}
	if b.settings.ReasoningSummary != "" {
		p["summary"] = b.settings.ReasoningSummary
	}
	if len(turn.OutputSchema) > 0 {
		p["outputSchema"] = turn.OutputSchema
	}
	return p
}

// job is a turn on its way to a thread.
type job struct {
	turn  *plugins.Turn
	out   *plugins.Stream
	items []object
	// provider of the CLI; empty: the user's own.
	provider string
	// try counts from 1.
	try int
	// tools of the client; only in chat mode.
	tools clientTools
	// dir is the working directory; only in agent mode.
	dir string
	// session to continue or to make; nil: none. Only in agent mode.
	session *session
}

// maxTries bounds the runs of one turn, see run.repeatable.
const maxTries = 3

// tries runs a job until it is done or has failed for good.
func tries(j job, once func(job) (again bool, err error)) error {
	for ; ; j.try++ {
		again, err := once(j)
		if !again || j.try == maxTries {
			return err
		}
		if errors.Is(err, errWaiting) {
			j.provider = providerEvents
		}
	}
}

// run prepares a run of the job in a thread.
func (j job) run(client *appserver.Client, th thread) *run {
	return &run{
		client: client, thread: th, turn: j.turn, out: j.out, tools: j.tools, first: j.try == 1,
		socket: j.provider != providerEvents, // the user's own provider may use WebSocket
	}
}

// do runs a turn in an app-server and replaces that when it is broken.
func (b *backend) do(ctx context.Context, k *keeper, i *instance, r *run, j job) error {
	err := r.do(ctx, j.items, b.startParams(r.turn))
	switch {
	case errors.Is(err, errStuck):
		b.log.Warn("codex app-server did not stop a turn, it is replaced", "pid", r.client.PID())
		k.retire(i)
		if r.finish != 0 {
			err = nil
		}
	case errors.Is(err, appserver.ErrGone):
		k.retire(i)
	}
	b.checkMemory(k, i)
	return err
}

// startFailure is the typed error of a turn for which no app-server started.
func startFailure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := errors.AsType[*plugins.Error](err); ok {
		return err
	}
	e := plugins.Errorf(plugins.CodeCLIFailure, "%w", err)
	e.Retryable = true
	return e
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// Execute implements plugins.Backend.
func (b *backend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	if b.checker == nil {
		return plugins.Errorf(plugins.CodeInternal, "the backend was not configured")
	}
	if err := checkTurn(turn); err != nil {
		return err
	}
	if _, err := b.checker.ready(ctx); err != nil {
		return err
	}
	if turn.Mode == plugins.ModeAgent {
		return b.executeAgent(ctx, turn, out)
	}
	return b.executeChat(ctx, turn, out)
}

// checkTurn refuses what would be silently left out otherwise.
func checkTurn(turn *plugins.Turn) error {
	switch {
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

// executeChat runs a turn in a thread that holds this conversation alone.
func (b *backend) executeChat(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	items, err := conversationItems(turn.System, turn.Messages)
	if err != nil {
		return err
	}
	tools, err := newClientTools(turn)
	if err != nil {
		return err
	}
	if turn.Live != nil && len(turn.Live.Token) > 0 {
		if c := b.live.take(string(turn.Live.Token)); c != nil {
			again, err := b.continueChat(ctx, turn, out, tools, c)
			if !again {
				return err
			}
		}
	}
	provider := b.provider()
	const tries = 3
	for try := 1; ; try++ {
		again, err := b.freshChat(ctx, turn, out, tools, items, provider)
		if !again || try == tries {
			return err
		}
		if errors.Is(err, errWaiting) {
			provider = providerEvents
		}
	}
}

// continueChat runs a turn in the thread that already holds the conversation.
// again says that nothing was done and a fresh thread is needed.
func (b *backend) continueChat(ctx context.Context, turn *plugins.Turn, out *plugins.Stream, tools clientTools, c *conversation) (again bool, err error) {
	held := turn.Live.Held
	if c.held != held || held >= len(turn.Messages) || c.instance.dead() {
		c.end()
		return true, nil
	}
	items, err := conversationItems("", turn.Messages[held:])
	if err != nil {
		c.end()
		return false, err
	}
	if b.isLite(c.thread.model) {
		items = withNamespace(items)
	}
	r := &run{
		client: c.instance.client, thread: c.thread, turn: turn, out: out,
		tools: tools, live: true, socket: c.provider == providerSocket, before: c.used, used: c.used,
	}
	return b.runChat(ctx, r, c, items)
}

func (b *backend) freshChat(ctx context.Context, turn *plugins.Turn, out *plugins.Stream, tools clientTools, items []object, provider string) (again bool, err error) {
	i, err := b.chat.get(ctx)
	if err != nil {
		return false, startFailure(ctx, err)
	}
	model := turn.Model
	if model == "" {
		model = b.defaultModel()
	}
	var th thread
	if len(tools.params) > 0 {
		th, err = i.threads.withTools(ctx, kind{model, provider}, tools.params)
	} else {
		th, err = i.threads.take(ctx, kind{model, provider})
	}
	if err != nil {
		gone := errors.Is(err, appserver.ErrGone)
		if ctx.Err() == nil {
			err = rpcFailure(i.client, err)
		}
		if gone {
			b.chat.retire(i)
		}
		b.chat.put(i)
		return gone, err
	}
	if b.isLite(th.model) {
		items = withNamespace(items)
	}
	r := &run{client: i.client, thread: th, turn: turn, out: out, tools: tools, socket: provider == providerSocket}
	c := &conversation{instance: i, thread: th, provider: provider}
	c.end = func() {
		i.threads.drop(th)
		b.chat.put(i)
	}
	return b.runChat(ctx, r, c, items)
}

// runChat runs a turn, and keeps the conversation or ends it.
func (b *backend) runChat(ctx context.Context, r *run, c *conversation, items []object) (again bool, err error) {
	err = b.do(ctx, b.chat, c.instance, r, items)
	finish := plugins.Finish{Reason: r.finish, Model: r.thread.model}
	if err == nil && r.finish == 0 && r.turn.Live != nil && len(r.sent) > 0 {
		c.held, c.used = len(r.turn.Messages)+1, r.used
		finish.LiveToken = b.live.keep(c)
	} else {
		c.end()
	}
	if err == nil {
		r.out.Finish(finish)
		return false, r.begin()
	}
	if errors.Is(err, errWaiting) && r.out.Answered() {
		err = r.waitedFailure()
	}
	return r.repeatable(err), err
}

// do runs a turn in an app-server and replaces that when it is broken.
func (b *backend) do(ctx context.Context, k *keeper, i *instance, r *run, items []object) error {
	err := r.do(ctx, items, b.startParams(r.turn))
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

// executeAgent runs a turn with the CLI's own tools and the user's own settings.
func (b *backend) executeAgent(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	items, err := conversationItems("", turn.Messages)
	if err != nil {
		return err
	}
	dir := turn.WorkingDir
	if dir == "" {
		if dir, err = os.MkdirTemp(b.config.ScratchDir, "work-"); err != nil {
			return plugins.Errorf(plugins.CodeInternal, "making a working directory: %w", err)
		}
		defer func() {
			if err := os.RemoveAll(dir); err != nil {
				b.log.Warn("removing a working directory", "error", err)
			}
		}()
	}
	if !filepath.IsAbs(dir) || !isDir(dir) {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the working directory %q is not an existing directory", dir)
	}
	events := b.access.needsLogin() || b.provider() == providerEvents // the user's own provider is as it is
	const tries = 3
	for try := 1; ; try++ {
		again, err := b.freshAgent(ctx, turn, out, items, dir, events)
		if !again || try == tries {
			return err
		}
		events = events || errors.Is(err, errWaiting)
	}
}

func (b *backend) freshAgent(ctx context.Context, turn *plugins.Turn, out *plugins.Stream, items []object, dir string, events bool) (again bool, err error) {
	i, err := b.agent.get(ctx)
	if err != nil {
		return false, startFailure(ctx, err)
	}
	defer b.agent.put(i)
	params := permissions(turn)
	params["ephemeral"], params["cwd"] = true, dir
	if turn.Model != "" {
		params["model"] = turn.Model
	}
	if turn.System != "" {
		params["developerInstructions"] = turn.System
	}
	if events && !b.access.needsLogin() {
		params["modelProvider"] = providerEvents
	}
	th, err := startThread(ctx, i.client, params)
	if err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		gone := errors.Is(err, appserver.ErrGone)
		return gone, rpcFailure(i.client, err)
	}
	defer i.threads.drop(th)
	// The user's own provider may use WebSocket too.
	r := &run{client: i.client, thread: th, turn: turn, out: out, socket: !events || b.access.needsLogin()}
	err = b.do(ctx, b.agent, i, r, items)
	if err == nil {
		out.Finish(plugins.Finish{Reason: r.finish, Model: th.model})
		return false, r.begin()
	}
	if errors.Is(err, errWaiting) && (events || out.Answered()) {
		err = r.waitedFailure()
	}
	return r.repeatable(err), err
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

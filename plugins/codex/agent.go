package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

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
	j := job{turn: turn, out: out, items: items, try: 1, dir: dir}
	if !b.access.needsLogin() {
		j.provider = b.provider()
	}
	return tries(j, func(j job) (bool, error) { return b.freshAgent(ctx, j) })
}

// freshAgent runs a turn in a thread of its own.
func (b *backend) freshAgent(ctx context.Context, j job) (again bool, err error) {
	i, err := b.agent.get(ctx)
	if err != nil {
		return false, startFailure(ctx, err)
	}
	defer b.agent.put(i)
	params := permissions(j.turn)
	params["ephemeral"], params["cwd"] = true, j.dir
	for name, value := range map[string]string{
		"model": j.turn.Model, "developerInstructions": j.turn.System, "modelProvider": j.provider,
	} {
		if value != "" {
			params[name] = value
		}
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
	r := j.run(i.client, th)
	err = b.do(ctx, b.agent, i, r, j)
	if err == nil {
		j.out.Finish(plugins.Finish{Reason: r.finish, Model: th.model})
		return false, r.begin()
	}
	if errors.Is(err, errWaiting) && (j.provider == "" || j.out.Answered()) {
		err = r.waitedFailure()
	}
	return r.repeatable(err), err
}

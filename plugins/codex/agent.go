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
	if err := checkDir(turn.WorkingDir); err != nil {
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
	j := job{turn: turn, out: out, items: items, try: 1, dir: dir, session: sessionOf(turn)}
	if !b.access.needsLogin() {
		j.provider = b.provider()
	}
	if s := j.session; s != nil && s.token.Thread != "" {
		if id := s.token.Thread; b.inUse.claim(id) {
			defer b.inUse.release(id)
		} else {
			s.action, s.replaces = plugins.SessionCreate, ""
		}
	}
	return tries(j, func(j job) (bool, error) { return b.runAgent(ctx, j) })
}

// checkDir refuses a working directory that is not there; empty means a private one.
func checkDir(dir string) error {
	if dir != "" && (!filepath.IsAbs(dir) || !isDir(dir)) {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the working directory %q is not an existing directory", dir)
	}
	return nil
}

// agentParams are those of a thread of agent mode.
func agentParams(j job) object {
	params := permissions(j.turn)
	params["cwd"] = j.dir
	for name, value := range map[string]string{
		"model": j.turn.Model, "developerInstructions": j.turn.System, "modelProvider": j.provider,
	} {
		if value != "" {
			params[name] = value
		}
	}
	return params
}

// runAgent runs a turn in a thread that no other turn uses.
func (b *backend) runAgent(ctx context.Context, j job) (again bool, err error) {
	i, err := b.agent.get(ctx)
	if err != nil {
		return false, startFailure(ctx, err)
	}
	defer b.agent.put(i)
	o, err := b.open(ctx, i.client, j)
	if err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		gone := errors.Is(err, appserver.ErrGone)
		return gone, rpcFailure(i.client, err)
	}
	if j.items = o.items; j.provider != "" && b.settings.Transport != transportSSE {
		j.provider = o.provider
	}
	r := j.run(i.client, o.thread)
	if r.uncounted = o.used == nil; !r.uncounted {
		r.before, r.used = *o.used, *o.used
	}
	err = b.do(ctx, b.agent, i, r, j)
	if err == nil {
		token := b.keep(ctx, r, o)
		if len(token) > 0 {
			b.replace(ctx, i.client, j.session, o.id)
		}
		j.out.Finish(plugins.Finish{Reason: r.finish, Model: o.model, SessionToken: token})
		return false, r.begin()
	}
	if errors.Is(err, errWaiting) && (j.provider == "" || j.out.Answered()) {
		err = r.waitedFailure()
	}
	again = r.repeatable(err)
	if again && j.session.retry(r, err) {
		b.free(ctx, i.client, o)
	} else {
		leave(i.client, o)
	}
	return again, err
}

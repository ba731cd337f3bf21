package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// agentRoute hands the conversation over as a session file: the CLI adds calls and
// results to it by itself. The CLI's own instructions stay; the caller's come as
// the first thing that the user says, since the CLI's places for them rewrite what
// stands in them.
func (b *backend) agentRoute(r *route, turn *plugins.Turn, contents []wire.Content, g wire.Generation) (err error) {
	if len(turn.Tools) > 0 {
		return plugins.Errorf(plugins.CodeUnsupported, "in agent mode the Gemini CLI works with its own tools: leave the client's out")
	}
	dir := turn.WorkingDir
	if dir != "" {
		if dir, err = filepath.EvalSymlinks(dir); err != nil {
			return plugins.Errorf(plugins.CodeInvalidRequest, "the working directory cannot be used: %w", err)
		}
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return plugins.Errorf(plugins.CodeInvalidRequest, "the working directory %s is no directory", dir)
		}
	}
	if r.keeper = b.keeper(turn, contents); r.keeper != nil {
		contents = r.keeper.session.Contents
	}
	if turn.System != "" {
		system := turn.System
		contents = append([]wire.Content{{Role: "user", Parts: []wire.Part{{Text: &system}}}}, contents...)
	}
	r.profile, err = b.agentProfile(turn, g)
	r.open = func(ctx context.Context, w *fleet.Worker) (*fleet.Session, error) {
		return w.OpenSeed(ctx, newSeed(contents, false), "", dir)
	}
	return err
}

// agentMode is the CLI's approval mode for a turn; empty: the one it starts in,
// which asks before it changes anything.
func agentMode(turn *plugins.Turn) string {
	if turn.Mode != plugins.ModeAgent {
		return ""
	}
	switch turn.Approval {
	case plugins.ApprovalAuto:
		return "autoEdit"
	case plugins.ApprovalNone:
		return "yolo"
	case plugins.ApprovalDefault, plugins.ApprovalAlways:
	}
	return ""
}

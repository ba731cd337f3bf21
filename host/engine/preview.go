package engine

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/engine/clip"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Preview is what would become of a turn.
type Preview struct {
	Backend string
	// Model is the backend's own name; empty: the CLI's choice.
	Model string
	Mode  Mode
	// WorkingDir, Approval and Sandbox are those of agent mode.
	WorkingDir string
	Approval   ApprovalMode
	Sandbox    SandboxMode
	// Ignored lists parameters that the backend does not honour (Field…).
	Ignored []string
	// Command is nil when the backend's plugin cannot tell.
	Command *Command
}

// Command is how a backend would run its CLI.
type Command struct {
	// Line is the command and its arguments, without prompts and secrets.
	Line []string
	// Environment has the names of variables.
	Environment []string
	// WorkingDir is where it would run; empty: in a private directory.
	WorkingDir string
}

// previewTimeout is what the contract gives a plugin.
const previewTimeout = 2 * time.Second

// Preview says what Execute would do with a turn, and fails where Execute would before
// anything runs. No place in the queue is taken, no session and no live conversation
// used or made.
func (e *Engine) Preview(ctx context.Context, t *Turn) (*Preview, error) {
	if e.draining.Load() {
		return nil, shuttingDown()
	}
	p, err := e.plan(t)
	if err != nil {
		return nil, err
	}
	lease, err := e.backends.Acquire(ctx, p.to.backend)
	if err != nil {
		return nil, AsError(err)
	}
	defer lease.Release()
	x := &Execution{engine: e, turn: p.turn, to: p.to}
	// The process may have become ready just now.
	info, _ := e.backends.Info(p.to.backend)
	caps := info.Describe.GetCapabilities()
	x.shapeFor(caps, p.output)
	out := &Preview{
		Backend: p.to.backend, Model: p.to.model, Mode: p.turn.Mode, WorkingDir: p.turn.WorkingDir,
		Approval: p.turn.Approval, Sandbox: p.turn.Sandbox, Ignored: p.ignored,
	}
	if caps.GetPreview() == nil {
		return out, nil
	}
	start := startToProto("", p.to.model, x.turn)
	x.useSession(start)
	if caps.GetLive() != nil && !x.turn.NoLive {
		start.Live = &backendv1.Live{}
	}
	if out.Command, err = previewed(ctx, lease, p.to, start); err != nil {
		return nil, err
	}
	return out, nil
}

// previewed asks the plugin.
func previewed(ctx context.Context, lease Lease, to target, start *backendv1.Start) (*Command, error) {
	ask, cancel := context.WithTimeout(ctx, previewTimeout)
	defer cancel()
	r, err := lease.Client().Preview(ask, &backendv1.PreviewRequest{Start: start})
	switch {
	case err == nil:
		return &Command{Line: r.GetCommandLine(), Environment: r.GetEnvironment(), WorkingDir: r.GetWorkingDir()}, nil
	case ctx.Err() != nil:
		return nil, AsError(context.Cause(ctx))
	case status.Code(err) == codes.Unimplemented:
		return nil, nil //nolint:nilnil // as if the capability was not there
	case status.Code(err) == codes.InvalidArgument:
		return nil, refusedBy(to, CodeInvalidRequest, err)
	case status.Code(err) == codes.NotFound:
		return nil, refusedBy(to, CodeModelNotFound, err)
	}
	return nil, &Error{
		Code: CodeCLIFailure, Backend: to.backend, Err: err,
		Message: clip.Text("the plugin of backend " + to.backend + " cannot preview the turn: " + status.Convert(err).Message()),
	}
}

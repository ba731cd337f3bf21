package host

import (
	"context"
	"errors"

	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/supervisor"
)

// backends shows the supervisor to the engine.
type backends struct{ supervisor *supervisor.Supervisor }

func (b backends) Names() []string { return b.supervisor.Names() }

func (b backends) Info(name string) (engine.BackendInfo, bool) {
	s, ok := b.supervisor.Status(name)
	if !ok {
		return engine.BackendInfo{}, false
	}
	return engine.BackendInfo{
		Name: s.Name, State: string(s.State), Serving: s.State.Serves(), Describe: s.Describe, Health: s.Health, Models: s.Models,
		PID: s.PID, Restarts: s.Restarts, Path: s.Path, SHA256: s.SHA256, Trust: string(s.Trust),
		LastError: s.LastError, Remedy: s.Remedy, UpdateError: s.UpdateError,
		Memory: s.Memory, Processes: s.Processes, MaxMemory: s.MaxMemory, MaxProcesses: s.MaxProcesses, Pressure: s.Pressure,
	}, true
}

func (b backends) Pressure(name string) (reason string, changed <-chan struct{}) {
	return b.supervisor.Pressure(name)
}

func (b backends) Acquire(ctx context.Context, name string) (engine.Lease, error) {
	l, err := b.supervisor.Acquire(ctx, name)
	if err == nil {
		return lease{l}, nil
	}
	return nil, notAvailable(name, err)
}

func notAvailable(name string, err error) *engine.Error {
	n, ok := errors.AsType[*supervisor.NotAvailableError](err)
	if !ok {
		return engine.AsError(err)
	}
	code := engine.CodeUnavailable
	if n.State == "" { // removed since the turn was routed
		code = engine.CodeModelNotFound
	}
	e := engine.Errorf(code, "%w", err)
	e.Backend, e.StderrTail, e.RetryAfter, e.Retryable = name, n.StderrTail, n.RetryAfter, n.RetryAfter > 0
	return e
}

func (b backends) Restart(ctx context.Context, name string) error {
	err := b.supervisor.Restart(ctx, name)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return engine.AsError(ctx.Err())
	}
	e := notAvailable(name, err)
	if n, ok := errors.AsType[*supervisor.NotAvailableError](err); ok {
		if n.State == supervisor.StateDisabled {
			e.Code = engine.CodeConflict
		}
		return e
	}
	e = engine.Errorf(engine.CodeUnavailable, "%w", err) // the text of a start is for operators
	e.Backend = name
	return e
}

type lease struct{ *supervisor.Lease }

func (l lease) Exit() (code int, signal, stderrTail string) {
	e := l.Lease.Exit()
	return e.Code, e.Signal, e.StderrTail
}

func aliases(models map[string]config.Alias) map[string]engine.Alias {
	out := map[string]engine.Alias{}
	for name, m := range models {
		out[name] = engine.Alias{
			Backend: m.Backend, Model: m.Model, WorkingDir: m.Workdir,
			Mode: engine.ParseMode(m.Mode), Approval: engine.ParseApproval(m.ApprovalMode), Sandbox: engine.ParseSandbox(m.SandboxMode),
		}
	}
	return out
}

// models are the default models by backend.
func models(backends map[string]config.Backend) map[string]string {
	out := map[string]string{}
	for name, b := range backends {
		if b.Model != "" {
			out[name] = b.Model
		}
	}
	return out
}

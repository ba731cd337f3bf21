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
		PID: s.PID, Restarts: s.Restarts, Path: s.Path, LastError: s.LastError,
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
	if n, ok := errors.AsType[*supervisor.NotAvailableError](err); ok {
		e := engine.Errorf(engine.CodeUnavailable, "%w", err)
		e.Backend, e.StderrTail, e.RetryAfter, e.Retryable = name, n.StderrTail, n.RetryAfter, n.RetryAfter > 0
		return nil, e
	}
	return nil, engine.AsError(err)
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

package supervisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// State is where a plugin is in its life.
type State string

// The states of a plugin.
//
//	discovered → starting → ready ⇄ degraded → draining → stopped
//	starting | ready | degraded → crashed → backoff → starting, or → quarantined
const (
	// StateDiscovered: found, not started yet.
	StateDiscovered State = "discovered"
	// StateDisabled: switched off by the configuration.
	StateDisabled State = "disabled"
	// StateStarting: a process is being started.
	StateStarting State = "starting"
	// StateReady: serves.
	StateReady State = "ready"
	// StateDegraded: serves, but its health is not good: Status.Health says why,
	// or Status.LastError when it did not answer.
	StateDegraded State = "degraded"
	// StateCrashed: the process is gone; what comes next is being decided.
	StateCrashed State = "crashed"
	// StateBackoff: waits before the next start.
	StateBackoff State = "backoff"
	// StateQuarantined: is not started again until Restart, or until its files change.
	StateQuarantined State = "quarantined"
	// StateDraining: takes no new turns and finishes those it has.
	StateDraining State = "draining"
	// StateStopped: ended for good.
	StateStopped State = "stopped"
)

// Serves says that Acquire gives leases in this state.
func (s State) Serves() bool { return s == StateReady || s == StateDegraded }

// Exit says how a plugin process ended.
type Exit = runner.Exit

// Status is a picture of one plugin. The messages in it are shared: do not change
// them.
type Status struct {
	// Name of the backend.
	Name string
	// Version that the plugin says it has; empty before the first start.
	Version string
	// Path of the binary, or of the manifest of an interpreted plugin.
	Path string
	// Source says which part of the search path it was found in.
	Source string
	// SHA256 of the file that runs, or that was found.
	SHA256 string
	// Trust is what the policy made of it; empty: it has not been asked.
	Trust catalog.Trust
	// Shadowed lists paths of the same name further down the search path.
	Shadowed []string
	// State since Since.
	State State
	Since time.Time
	// Describe is what the plugin said it is; nil before the first start.
	Describe *backendv1.DescribeResponse
	// Health is the last answer; nil before the first start.
	Health *backendv1.HealthResponse
	// Models is the last list; nil before the first answer.
	Models []*backendv1.Model
	// Warnings of the last Configure, each one line.
	Warnings []string
	// PID of the process; 0 when none runs.
	PID int
	// Generation changes with every process; 0 before the first.
	Generation uint64
	// Restarts counts processes after the first.
	Restarts int
	// Leases counts what is running on the process.
	Leases int
	// NextStart is when backoff ends; zero in other states.
	NextStart time.Time
	// LastError is the last thing that went wrong, one line; Remedy what to do.
	// Both are kept while the plugin is not ready, and LastError of a crash until
	// the plugin has been ready for the reset time.
	LastError string
	Remedy    string
	// LastExit is how the last process ended, when it was not asked to.
	LastExit *Exit
	// UpdateError says why the process in service was not replaced though the files
	// on disk have changed, and what to do, one line; empty: they have not, or it was.
	UpdateError string
	// Removed says that the plugin is not on disk any more: it finishes its turns and
	// then vanishes.
	Removed bool
	// Memory in bytes and Processes of the plugin with all that it started, as last
	// measured; 0: not measured yet, or this system does not tell.
	Memory    int64
	Processes int
	// MaxMemory and MaxProcesses are what they may be; 0: anything.
	MaxMemory    int64
	MaxProcesses int
	// Pressure is why new turns wait until the backend uses less, one line; empty:
	// they do not.
	Pressure string
}

// farewell says why a plugin ends for good.
func (s Status) farewell() string {
	if s.Removed {
		return "the plugin was removed"
	}
	return "the server is stopping"
}

// NotAvailableError says why a plugin cannot be used now.
type NotAvailableError struct {
	// Name of the backend.
	Name string
	// State it is in; empty: there is no such plugin.
	State State
	// Reason is one line.
	Reason string
	// Remedy says what to do; may be empty.
	Remedy string
	// ExitStatus is how the last process ended, for example "exit status 2" or
	// "signal: killed"; empty when that is not the reason.
	ExitStatus string
	// StderrTail is the end of that process's stderr, redacted, at most 8 KiB.
	StderrTail string
	// RetryAfter is when it may be available; 0: not without somebody's help.
	RetryAfter time.Duration
}

// Error is one line.
func (e *NotAvailableError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "backend %q is not available", e.Name)
	if e.State != "" {
		fmt.Fprintf(&b, " (%s)", e.State)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if e.Remedy != "" {
		fmt.Fprintf(&b, "; %s", e.Remedy)
	}
	return b.String()
}

// startTime is when to ask again for a plugin that is being started and that could
// not be waited for any longer.
const startTime = time.Second

// notAvailable makes the error from what is known.
func (s Status) notAvailable(now time.Time) *NotAvailableError {
	e := &NotAvailableError{Name: s.Name, State: s.State, Reason: s.LastError, Remedy: s.Remedy}
	switch s.State {
	case StateDisabled:
		e.Reason, e.Remedy = "the configuration switches it off", fmt.Sprintf("set backends.%s.enabled to true", s.Name)
	case StateQuarantined:
		if e.Remedy == "" {
			e.Remedy = "mend it and run: clinvk plugin restart " + s.Name
		}
	case StateDraining, StateStopped:
		e.Reason, e.Remedy = s.farewell(), ""
	case StateBackoff:
		e.RetryAfter = max(0, s.NextStart.Sub(now))
	default: // it is being started
		e.RetryAfter = startTime
	}
	if s.LastExit != nil {
		e.ExitStatus, e.StderrTail = s.LastExit.String(), s.LastExit.StderrTail
	}
	return e
}

// initial is the status of an entry before anything was done with it.
func initial(e catalog.Entry, now time.Time) Status {
	return Status{
		Name: e.Name, Path: e.Path, Source: string(e.Source), SHA256: e.SHA256, Trust: e.Trust, Shadowed: e.Shadowed,
		State: StateDiscovered, Since: now,
	}
}

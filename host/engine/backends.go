package engine

import (
	"context"
	"strings"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Backends is what the engine needs of those who keep the plugins alive.
type Backends interface {
	// Names lists all backends, sorted.
	Names() []string
	// Info tells about one, from memory.
	Info(name string) (BackendInfo, bool)
	// Acquire lends the backend's process for one turn; it waits a little while
	// the process is being (re)started. Its error is an *Error.
	Acquire(ctx context.Context, name string) (Lease, error)
	// Restart starts a new process of the backend, also of one that is in
	// quarantine, and returns when it is ready. Its error is an *Error.
	Restart(ctx context.Context, name string) error
	// Pressure says why new turns of a backend must wait until its processes use
	// less; empty: they need not. changed is closed when that changes; nil: it never
	// does.
	Pressure(name string) (reason string, changed <-chan struct{})
}

// Lease is the use of one plugin process.
type Lease interface {
	Client() backendv1.BackendServiceClient
	// Generation changes with every process.
	Generation() uint64
	// Exited is closed when the process is gone; then Exit tells how.
	Exited() <-chan struct{}
	Exit() (code int, signal, stderrTail string)
	// Stopped says why and when the host last stopped something that this process
	// had started, or itself, because it used too much; empty: it did not.
	Stopped() (reason string, at time.Time)
	// Release must be called once.
	Release()
}

// BackendInfo is what is known about a backend. Describe, Health and Models are
// nil until the plugin was ready once.
type BackendInfo struct {
	Name string
	// State of the plugin: one of the supervisor's words.
	State string
	// Serving says that the plugin's process takes turns.
	Serving  bool
	Describe *backendv1.DescribeResponse
	Health   *backendv1.HealthResponse
	Models   []*backendv1.Model
	// PID of the plugin's process; 0: none runs.
	PID      int
	Restarts int
	// Path of the plugin's binary.
	Path string
	// SHA256 of the plugin's files, and what makes them trusted or not: one of the
	// catalog's words.
	SHA256, Trust string
	// LastError of the plugin; empty: none. Remedy says what to do; may be empty.
	LastError, Remedy string
	// UpdateError says why the plugin's process was not replaced though its files
	// have changed; empty: they have not, or it was.
	UpdateError string
	// Memory in bytes and Processes of the plugin and all that it started; 0: unknown.
	Memory    int64
	Processes int
	// MaxMemory and MaxProcesses are what they may be; 0: anything.
	MaxMemory    int64
	MaxProcesses int
	// Pressure is why new turns wait until they are less; empty: they do not.
	Pressure string
}

// Available says whether a turn would be tried: the plugin runs and its CLI says
// that it can.
func (b BackendInfo) Available() bool {
	state := b.Health.GetState()
	return b.Serving && (state == backendv1.HealthState_HEALTH_STATE_READY || state == backendv1.HealthState_HEALTH_STATE_DEGRADED)
}

// Message is one line for people about the backend's state.
func (b BackendInfo) Message() string {
	if !b.Serving && b.LastError != "" {
		if b.Remedy != "" {
			return b.LastError + "; " + b.Remedy
		}
		return b.LastError
	}
	message := b.Health.GetMessage()
	if r := b.Health.GetRemedy(); r != "" && !strings.Contains(message, r) {
		message += ": run " + r
	}
	return message
}

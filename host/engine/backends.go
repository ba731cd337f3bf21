package engine

import (
	"context"

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
}

// Lease is the use of one plugin process.
type Lease interface {
	Client() backendv1.BackendServiceClient
	// Generation changes with every process.
	Generation() uint64
	// Exited is closed when the process is gone; then Exit tells how.
	Exited() <-chan struct{}
	Exit() (code int, signal, stderrTail string)
	// Release must be called once.
	Release()
}

// BackendInfo is what is known about a backend. Describe, Health and Models are
// nil until the plugin was ready once.
type BackendInfo struct {
	Name     string
	State    string
	Describe *backendv1.DescribeResponse
	Health   *backendv1.HealthResponse
	Models   []*backendv1.Model
}

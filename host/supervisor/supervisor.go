package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/host/runner"
)

// Supervisor runs the plugins of one server. Its methods may be called
// concurrently.
type Supervisor struct {
	config Config
	roster atomic.Pointer[roster] // replaced under mu
	ends   endings
	next   atomic.Uint64

	endLife, endPatience, endMercy context.CancelFunc

	mu      sync.Mutex
	dir     *runner.Dir
	started bool
	stopped bool
	running sync.WaitGroup

	endWatch context.CancelFunc
	watching sync.WaitGroup // the watcher and what it begins
}

// New prepares the plugins; nothing is started and nothing on disk is touched.
func New(c Config) (*Supervisor, error) {
	c = c.withDefaults()
	if c.StateDir == "" {
		return nil, errors.New("setting up plugins: no state directory was given")
	}
	state, err := filepath.Abs(c.StateDir)
	if err != nil {
		return nil, fmt.Errorf("setting up plugins: %w", err)
	}
	c.StateDir = state
	if err := distinct(c.Entries); err != nil {
		return nil, fmt.Errorf("setting up plugins: %w", err)
	}
	s := &Supervisor{config: c}
	s.ends.life, s.endLife = context.WithCancel(context.Background())
	s.ends.patience, s.endPatience = context.WithCancel(context.Background())
	s.ends.mercy, s.endMercy = context.WithCancel(context.Background())
	units := map[string]*unit{}
	for _, e := range c.Entries {
		units[e.Name] = s.newUnit(e)
	}
	s.roster.Store(newRoster(units))
	return s, nil
}

// Start removes what dead servers left, processes included, starts all plugins at
// once and returns when each is ready or has failed once, or when ctx ends; the
// plugins then go on starting. One bad plugin is not an error: see its Status.
// After an error Stop is due as well.
func (s *Supervisor) Start(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return fmt.Errorf("starting plugins: %w", err)
	}
	for _, u := range s.roster.Load().units {
		select {
		case <-u.decided:
		case <-ctx.Done():
			return fmt.Errorf("starting plugins: %w", ctx.Err())
		}
	}
	return nil
}

// begin makes the directories and starts the lives.
func (s *Supervisor) begin() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return errors.New("they were started or stopped before")
	}
	s.started = true
	defer func() { s.stopped = s.stopped || err != nil }() // there is nowhere to start anything
	if err := os.MkdirAll(s.config.StateDir, 0o700); err != nil {
		return fmt.Errorf("making the state directory: %w; make that writable, or name another directory with CLINVK_HOME", err)
	}
	if n := runner.Sweep(); n > 0 {
		s.config.Logger.Warn("processes of a dead server were ended", "processes", n)
	}
	if s.dir, err = runner.NewDir(s.config.RuntimeDir); err != nil {
		return err
	}
	for _, u := range s.roster.Load().units {
		s.animate(u)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.endWatch = cancel
	s.watching.Go(func() { s.watchWalls(ctx) })
	return nil
}

// Dir is the private directory of this host for sockets, after Start; it goes with the
// host, also when that is killed.
func (s *Supervisor) Dir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir.Path()
}

// Stop drains and ends all plugins and removes the runtime directory. Turns may
// run until shortly before ctx's deadline (at most Timings.Drain); when ctx ends
// what is left is killed. It returns when no process is left, a few seconds after
// the end of ctx at the latest. Further calls wait as well.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	dir, endWatch := s.dir, s.endWatch
	s.mu.Unlock()
	s.endLife()
	patience := s.config.Timings.Drain
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)-s.config.Timings.Shutdown)
	}
	timer := time.AfterFunc(patience, s.endPatience)
	defer timer.Stop()
	defer context.AfterFunc(ctx, func() { s.endPatience(); s.endMercy() })()
	s.running.Wait()
	s.endPatience()
	s.endMercy()
	if endWatch != nil {
		endWatch()
	}
	s.watching.Wait()
	if dir == nil { // never started
		return nil
	}
	if err := dir.Remove(); err != nil {
		return fmt.Errorf("stopping plugins: %w", err)
	}
	return nil
}

// Names lists the plugins, refused and disabled ones included, in order. The
// result is the caller's.
func (s *Supervisor) Names() []string { return slices.Clone(s.roster.Load().names) }

// Status of one plugin, from memory; false when there is none of that name.
func (s *Supervisor) Status(name string) (Status, bool) {
	u, ok := s.roster.Load().units[name]
	if !ok {
		return Status{}, false
	}
	return u.snapshot(), true
}

// Statuses of all plugins, in the order of Names.
func (s *Supervisor) Statuses() []Status {
	r := s.roster.Load()
	all := make([]Status, 0, len(r.names))
	for _, name := range r.names {
		all = append(all, r.units[name].snapshot())
	}
	return all
}

// Restart starts a new process of a plugin and clears its quarantine. A process
// that serves goes on until the new one is ready, then finishes its turns; when
// the new one does not get ready the old one keeps serving. Restart returns when
// the new process is ready, or with why it is not. When ctx ends first the
// restart goes on.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	u, ok := s.roster.Load().units[name]
	if !ok {
		return &NotAvailableError{Name: name, Reason: "there is no such plugin"}
	}
	if st := u.snapshot(); st.State == StateDisabled || st.State == StateStopped {
		return st.notAvailable(time.Now())
	}
	result := make(chan error, 1)
	select {
	case u.restarts <- restart{result}:
	case <-u.ends.life.Done():
		return u.snapshot().notAvailable(time.Now())
	case <-ctx.Done():
		return fmt.Errorf("restarting backend %q: %w", name, ctx.Err())
	}
	select {
	case err := <-result:
		if e, ok := errors.AsType[*startError](err); ok && e.remedy != "" {
			return fmt.Errorf("restarting backend %q: %w; %s", name, err, e.remedy)
		}
		if err != nil {
			return fmt.Errorf("restarting backend %q: %w", name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("restarting backend %q: %w", name, ctx.Err())
	}
}

// Acquire lends the process of a plugin. While one is being started, or is to be in
// that time, it waits, until ctx ends and at most Timings.Acquire; otherwise, and when
// it waited in vain, the error is a *NotAvailableError.
func (s *Supervisor) Acquire(ctx context.Context, name string) (*Lease, error) {
	u, ok := s.roster.Load().units[name]
	if !ok {
		return nil, &NotAvailableError{Name: name, Reason: "there is no such plugin"}
	}
	lease, status, changed := u.tryLease()
	if lease != nil {
		return lease, nil
	}
	limit := time.Now().Add(s.config.Timings.Acquire)
	timer := time.NewTimer(s.config.Timings.Acquire)
	defer timer.Stop()
	for {
		switch status.State {
		case StateDisabled, StateQuarantined, StateDraining, StateStopped:
			return nil, status.notAvailable(time.Now())
		case StateBackoff:
			if status.NextStart.After(limit) {
				return nil, status.notAvailable(time.Now())
			}
		default: // it may get ready
		}
		if u.ends.life.Err() != nil {
			status.State = StateDraining
			return nil, status.notAvailable(time.Now())
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, u.snapshot().notAvailable(time.Now())
		case <-u.ends.life.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for backend %q: %w", name, ctx.Err())
		}
		if lease, status, changed = u.tryLease(); lease != nil {
			return lease, nil
		}
	}
}

// tryLease takes a lease, or says what to wait for.
func (u *unit) tryLease() (*Lease, Status, <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != nil && u.status.State.Serves() {
		if lease, ok := u.current.lease(); ok {
			return lease, Status{}, nil
		}
	}
	return nil, u.status, u.changed
}

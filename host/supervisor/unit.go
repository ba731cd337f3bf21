package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// unit is one plugin and its life. run is its only writer of states; everything
// else reads the status.
type unit struct {
	config  Config
	entry   catalog.Entry // what is to run; run's own, and unchanged during a start
	log     *slog.Logger
	dir     *runner.Dir
	walls   *walls
	ends    *endings
	endLife context.CancelFunc
	next    *atomic.Uint64 // generation, shared by all units
	alive   bool           // run runs, or has run; the supervisor's own

	restarts chan restart
	posts    chan catalog.Entry // what is on disk now, the last news only
	decided  chan struct{}      // closed when the first start has ended, well or badly
	retired  sync.WaitGroup

	mu      sync.Mutex
	status  Status
	current *instance
	changed chan struct{} // closed and replaced with each change of state

	history history        // run's own
	pending []chan<- error // run's own: callers of Restart that wait for the next start
	tried   Settings       // run's own: those of the last start
	broken  *attempt       // run's own: what could not replace the process in service
}

// attempt is what was started, and with which settings.
type attempt struct {
	entry    catalog.Entry
	settings Settings
}

// restart is an operator's wish.
type restart struct{ result chan<- error }

// endings are the contexts of a stop, in the order in which they end. Each unit has
// a life of its own.
type endings struct {
	life     context.Context //nolint:containedctx // ends: no new turns
	patience context.Context //nolint:containedctx // ends: turns have had their time
	mercy    context.Context //nolint:containedctx // ends: kill
}

// run lives the plugin's life. It returns when endings.life has ended and no
// process is left.
func (u *unit) run() {
	defer u.retired.Wait()
	first := sync.OnceFunc(func() { close(u.decided) })
	defer first()
	for u.ends.life.Err() == nil {
		i, err := u.start(u.ends.life)
		if u.ends.life.Err() != nil {
			if i != nil {
				u.retire(i)
			}
			break
		}
		u.reply(err)
		if err == nil {
			first()
			err = u.serve(i)
		}
		if err != nil {
			u.fail(err)
			first()
			u.rest()
		}
	}
	u.reply(errors.New(u.snapshot().farewell()))
	u.set(func(s *Status) {
		s.State, s.NextStart = StateDraining, time.Time{}
		if s.Removed {
			s.LastError, s.Remedy, s.LastExit = s.farewell(), "", nil
		}
	})
	u.retired.Wait()
	u.set(func(s *Status) { s.State, s.PID = StateStopped, 0 })
}

// reply tells the callers of Restart how the start went.
func (u *unit) reply(err error) {
	for _, result := range u.pending {
		result <- err
	}
	u.pending = nil
}

// set changes the status and wakes those who wait for a change of state.
func (u *unit) set(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before := u.status.State
	change(&u.status)
	if u.status.State == before {
		return
	}
	u.status.Since = time.Now()
	close(u.changed)
	u.changed = make(chan struct{})
	u.log.Debug("plugin state", "from", before, "to", u.status.State)
}

func (u *unit) snapshot() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.status
	if u.current != nil {
		s.Leases = u.current.inUse()
	}
	u.walls.fill(&s)
	return s
}

// start brings up a process and puts it into service.
func (u *unit) start(ctx context.Context) (*instance, error) {
	u.set(func(s *Status) { s.State, s.NextStart, s.UpdateError = StateStarting, time.Time{}, "" })
	u.tried = u.config.Settings(u.entry.Name)
	i, p, err := u.bringUp(ctx, u.tried)
	if err != nil {
		return nil, err
	}
	p.models = u.firstModels(ctx, i)
	u.enter(ctx, i, p)
	return i, nil
}

// bringUp starts and prepares a process; nothing is left when it fails.
func (u *unit) bringUp(ctx context.Context, settings Settings) (*instance, *prepared, error) {
	launching, cancel := context.WithTimeout(ctx, u.config.Timings.Handshake)
	defer cancel()
	u.walls.set(settings)
	i, err := u.launch(launching)
	for errors.Is(err, syscall.ETXTBSY) && pause(launching, busyPause) {
		i, err = u.launch(launching)
	}
	if err != nil {
		return nil, nil, err
	}
	i.settings = settings
	p, err := u.prepare(ctx, i)
	if err != nil {
		i.discard(ctx)
		return nil, nil, err
	}
	for _, w := range p.warnings {
		u.log.Warn("plugin configuration", "warning", w)
	}
	return i, p, nil
}

// busyPause is how soon a file is tried again that somebody has open for writing:
// it is being copied into place.
const busyPause = 100 * time.Millisecond

// pause waits; false: ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// launch starts a process in a directory of its own.
func (u *unit) launch(ctx context.Context) (*instance, error) {
	generation := u.next.Add(1)
	dir, err := u.dir.Fresh(fmt.Sprintf("%x", generation))
	if err != nil {
		return nil, failedStart(err)
	}
	i, err := launch(ctx, u.entry, u.config.Policy, generation, dir, u.log, u.walls)
	if err != nil {
		if err := os.RemoveAll(dir); err != nil {
			u.log.Warn("removing the directory of a process", "error", err)
		}
		return nil, err
	}
	return i, nil
}

// firstModels waits for the list when there is none: a request that names a model
// must find it as soon as the backend is ready. Later lists come with the polls.
func (u *unit) firstModels(ctx context.Context, i *instance) []*backendv1.Model {
	if u.snapshot().Models != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, u.config.Timings.Models)
	defer cancel()
	models, err := listModels(ctx, i)
	if err != nil {
		u.log.Warn("the models are not known yet", "error", err)
		return nil
	}
	return models
}

// enter puts a prepared process into service.
func (u *unit) enter(ctx context.Context, i *instance, p *prepared) {
	i.asked.prepared.Store(p.describe.GetCapabilities().GetRelief() != nil)
	u.broken, u.tried = nil, i.settings
	u.mu.Lock()
	u.current = i
	u.mu.Unlock()
	u.set(func(s *Status) {
		if s.Generation != 0 {
			s.Restarts++
		}
		s.Describe, s.Health, s.Warnings, s.Version = p.describe, p.health, p.warnings, p.describe.GetVersion()
		if p.models != nil {
			s.Models = p.models
		}
		s.PID, s.Generation, s.UpdateError = i.process.PID(), i.generation, ""
		s.Path, s.Source, s.SHA256, s.Trust = i.entry.Path, string(i.entry.Source), i.entry.SHA256, i.entry.Trust
		s.State = stateFor(p.health)
		if s.LastExit == nil {
			s.LastError, s.Remedy = "", ""
		}
	})
	u.log.Info("plugin ready", "pid", i.process.PID(), "version", p.describe.GetVersion(), "health", p.health.GetState().String())
	u.config.Policy.Ready(ctx, i.entry, i.entry.SHA256, p.describe)
}

func stateFor(h *backendv1.HealthResponse) State {
	if h.GetState() == backendv1.HealthState_HEALTH_STATE_READY {
		return StateReady
	}
	return StateDegraded
}

// serve watches the process in service until it fails, then says why, or until
// life ends. A restart replaces it without a gap.
func (u *unit) serve(i *instance) error {
	for {
		next, err := u.watch(i)
		if next == nil {
			return err
		}
		u.retire(i)
		i = next
	}
}

// watch returns when the process fails (error), is replaced (the next process),
// or life ends (neither).
func (u *unit) watch(i *instance) (*instance, error) {
	ctx, cancel := context.WithCancel(u.ends.life)
	ill := make(chan error, 1)
	var polling sync.WaitGroup
	polling.Go(func() { u.poll(ctx, i, ill) })
	defer polling.Wait()
	defer cancel()
	steady := time.NewTimer(u.config.Timings.Reset)
	defer steady.Stop()
	var next *successor
	defer func() { u.abandon(ctx, next) }()
	for {
		restarts, posts := u.restarts, u.posts
		if next != nil { // one at a time
			restarts, posts = nil, nil
		}
		select {
		case <-u.ends.life.Done():
			u.retire(i)
			return nil, nil
		case <-i.process.Done():
			return nil, u.lose(ctx, i, nil)
		case <-i.lost:
			return nil, u.lose(ctx, i, errLost)
		case err := <-ill:
			return nil, u.lose(ctx, i, err)
		case r := <-restarts:
			next = u.startBeside(ctx, r.result)
		case e := <-posts:
			next = u.compare(ctx, i, e)
		case a := <-next.arrival():
			arrived := next
			next.cancel()
			next = nil
			if u.succeed(ctx, a, arrived) {
				return a.instance, nil
			}
		case <-steady.C:
			u.history.recovered()
			u.clear()
		}
	}
}

// blameTime is how long after the host has stopped a process of a plugin the end of
// the plugin comes of it.
const blameTime = 5 * time.Second

var errLost = errors.New("the plugin closed its connection")

// lose takes a process that failed out of service, ends it and says why. A lost
// connection mostly means that the process is ending by itself.
func (u *unit) lose(ctx context.Context, i *instance, reason error) error {
	noticed := time.Now()
	i.close()
	u.mu.Lock()
	u.current = nil
	u.mu.Unlock()
	u.set(func(s *Status) { s.State, s.PID = StateCrashed, 0 })
	if errors.Is(reason, errLost) && i.ends(ctx) {
		reason = nil
	}
	i.kill(ctx)
	u.retired.Go(func() { i.linger(u.ends.mercy) })
	e := crashed(i)
	if why, at := i.blamed(); why != "" && noticed.Sub(at) < blameTime {
		reason = errors.New("stopped because " + why)
	}
	if reason != nil {
		e.err = reason
	}
	return e
}

// forgive forgets all failures, as an operator asks for.
func (u *unit) forgive() {
	u.history.forget()
	u.clear()
}

func (u *unit) clear() {
	u.set(func(s *Status) { s.LastError, s.Remedy, s.LastExit = "", "", nil })
}

// retire lets a process finish its turns and ends it, in the background; run
// waits for it.
func (u *unit) retire(i *instance) {
	i.close()
	patience := cmp.Or(u.config.Settings(u.entry.Name).Drain, u.config.Timings.Drain)
	u.retired.Go(func() {
		ctx, cancel := context.WithTimeout(u.ends.patience, patience)
		defer cancel()
		if left := i.drain(ctx); left > 0 {
			u.log.Warn("turns did not end in time", "turns", left, "pid", i.process.PID())
		}
		i.stop(u.ends.mercy, u.config.Timings.Shutdown)
	})
}

// fail records why there is no process and decides when there will be one.
func (u *unit) fail(err error) {
	e := &startError{err: err}
	errors.As(err, &e)
	u.log.Error("plugin failed", "error", err, "remedy", e.remedy)
	wait, again := u.history.crash(time.Now())
	u.set(func(s *Status) {
		s.LastError, s.Remedy, s.LastExit, s.PID = err.Error(), e.remedy, e.exit, 0
		if e.distrust != nil {
			s.Trust, s.SHA256 = e.distrust.Trust, e.distrust.SHA256
		}
		switch {
		case e.permanent:
			s.State = StateQuarantined
		case !again:
			s.State = StateQuarantined
			s.LastError = fmt.Sprintf("it failed %d times within %v, the last time: %s", crashMost, u.config.Timings.CrashWindow, s.LastError)
		default:
			s.State = StateBackoff
			s.NextStart = time.Now().Add(wait)
		}
	})
}

// rest waits until the next start is due, somebody asks for it, the files or the
// settings change, or life ends.
func (u *unit) rest() {
	s := u.snapshot()
	var due <-chan time.Time
	if s.State == StateBackoff {
		timer := time.NewTimer(time.Until(s.NextStart))
		defer timer.Stop()
		due = timer.C
	}
	for {
		select {
		case <-due:
			return
		case r := <-u.restarts:
			u.forgive()
			u.pending = append(u.pending, r.result)
			return
		case e := <-u.posts:
			known := e.Same(u.entry) && u.tried.Same(u.config.Settings(e.Name))
			u.adopt(e)
			if !known {
				u.forgive()
				return
			}
		case <-u.ends.life.Done():
			return
		}
	}
}

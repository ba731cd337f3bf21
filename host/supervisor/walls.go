package supervisor

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// relieveTime bounds a call of Relieve.
const relieveTime = 2 * time.Second

// walls are what the processes of one backend may use and what they do use.
type walls struct {
	name string
	log  *slog.Logger

	mu        sync.Mutex
	limits    limits
	instances []*instance   // that run, or will
	usage     runner.Usage  // as last measured
	reason    string        // why new turns wait; empty: they do not
	changed   chan struct{} // closed and replaced when reason comes or goes

	pressure pressure             // the watcher's own
	doomed   map[uint64]time.Time // the watcher's own: processes that were stopped, by key
	calls    *sync.WaitGroup      // what the watcher begins and does not wait for
}

// newWalls has no limits yet; whoever owns the watcher waits for calls.
func newWalls(name string, log *slog.Logger, t Timings, calls *sync.WaitGroup) *walls {
	return &walls{
		name: name, log: log, calls: calls, changed: make(chan struct{}), doomed: map[uint64]time.Time{},
		pressure: pressure{timings: t, level: backendv1.ReliefLevel_RELIEF_LEVEL_NONE},
	}
}

// set makes the limits those of the settings.
func (w *walls) set(s Settings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limits = limits{memory: max(0, s.MaxMemory), processes: max(0, s.MaxProcesses)}
}

// watch has an instance measured until it is released.
func (w *walls) watch(i *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances = append(w.instances, i)
}

// forget undoes watch.
func (w *walls) forget(i *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances = slices.DeleteFunc(w.instances, func(other *instance) bool { return other == i })
}

// watched are the instances to measure.
func (w *walls) watched() ([]*instance, limits) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.instances), w.limits
}

// state is why new turns wait, empty when they do not, and what is closed when that
// changes.
func (w *walls) state() (reason string, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason, w.changed
}

// fill tells what was measured.
func (w *walls) fill(s *Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.Memory, s.Processes, s.Pressure = w.usage.Memory, w.usage.Processes, w.reason
	s.MaxMemory, s.MaxProcesses = w.limits.memory, w.limits.processes
}

// note takes in what was measured and decided.
func (w *walls) note(u runner.Usage, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.reason
	w.usage, w.reason = u, reason
	if (before == "") != (reason == "") {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// judge looks at a measurement of the backend's processes and does what is due.
func (u *unit) judge(ctx context.Context, now time.Time, usage map[*runner.Process]runner.Usage) {
	w := u.walls
	instances, limits := w.watched()
	var sum runner.Usage
	busy := false
	for _, i := range instances {
		busy = busy || i.inUse() > 0
		of := usage[i.process]
		sum.Memory += of.Memory
		sum.Processes += of.Processes
		sum.Members = append(sum.Members, of.Members...)
	}
	s := u.snapshot()
	// Before a plugin has said what it can it is given the time of one that can.
	stands := standing{relieves: s.Describe == nil || s.Describe.GetCapabilities().GetRelief() != nil, busy: busy}
	stands.told = !stands.relieves || w.told(instances)
	before := w.pressure.reason
	w.pressure.limits = limits
	do := w.pressure.observe(now, w.name, w.living(now, sum), stands)
	reason := w.pressure.reason
	w.note(sum, reason)
	switch {
	case before == "" && reason != "":
		w.log.Warn("the backend is over its limit, new turns wait", "reason", reason)
	case before != "" && reason == "":
		w.log.Info("the backend is below its limit again", "memory_mb", sum.Memory>>20, "processes", sum.Processes)
	}
	switch do {
	case actNothing:
	case actStop:
		w.stop(now, w.victims(w.living(now, sum)), instances, usage)
	case actKill:
		w.kill(ctx, instances, usage)
	}
	w.relieve(ctx, instances)
}

// victims are the process that uses the most memory, or, when there are too many
// processes, as many as are too many, from where the most of them are. The plugin's
// own process is one only when it is the biggest, or alone.
func (w *walls) victims(sum runner.Usage) []runner.Member {
	l := w.pressure.limits
	if l.memory == 0 || sum.Memory <= l.memory {
		tooMany := sum.Processes + 1 - int(recoveredAt*float64(l.processes))
		if crowds := sum.Crowds(tooMany); len(crowds) > 0 {
			return crowds
		}
	}
	if biggest, ok := sum.Biggest(); ok {
		return []runner.Member{biggest}
	}
	return nil
}

// key names a process for ever: ticks are a hundredth of a second, pids have 22 bits.
func key(m runner.Member) uint64 { return m.Started<<22 | uint64(m.PID) } //nolint:gosec // a pid

// living is a measurement without the processes that were just stopped: a large one
// takes its time to go, and another must not be stopped for it meanwhile.
func (w *walls) living(now time.Time, u runner.Usage) runner.Usage {
	if len(w.doomed) == 0 {
		return u
	}
	left := map[uint64]time.Time{}
	u.Members = slices.Clone(u.Members)
	u.Members = slices.DeleteFunc(u.Members, func(m runner.Member) bool {
		since, ok := w.doomed[key(m)]
		if !ok {
			return false
		}
		left[key(m)] = since
		if now.Sub(since) > w.pressure.timings.Relief {
			return false // it does not go
		}
		u.Memory -= m.Memory
		u.Processes--
		return true
	})
	w.doomed = left
	return u
}

// victims are has whose they are remember why.
func (w *walls) stop(now time.Time, victims []runner.Member, instances []*instance, usage map[*runner.Process]runner.Usage) {
	for n, v := range victims {
		for _, i := range instances {
			if slices.Contains(usage[i.process].Members, v) {
				i.blame(w.pressure.reason)
			}
		}
		if n == 0 {
			w.log.Warn("a process of the backend is stopped", "reason", w.pressure.reason, "pid", v.PID, "name", v.Name,
				"memory_mb", v.Memory>>20, "plugin", v.Plugin, "together_with", len(victims)-1)
		}
		w.doomed[key(v)] = now
		if err := v.Kill(); err != nil {
			w.log.Error("a process of the backend cannot be stopped", "pid", v.PID, "error", err)
		}
	}
}

// kill ends the plugin process that has the most descendants, with all of them.
func (w *walls) kill(ctx context.Context, instances []*instance, usage map[*runner.Process]runner.Usage) {
	largest := slices.MaxFunc(instances, func(a, b *instance) int {
		return usage[a.process].Processes - usage[b.process].Processes
	})
	largest.blame(w.pressure.reason)
	w.log.Warn("the plugin is stopped with all that it started", "reason", w.pressure.reason, "pid", largest.process.PID())
	w.calls.Go(func() { largest.kill(ctx) })
}

// told says that all processes that can be asked know what to give up. Before there
// is one they do not.
func (w *walls) told(instances []*instance) bool {
	asked := 0
	for _, i := range instances {
		if !i.asked.prepared.Load() {
			continue
		}
		if asked++; !i.asked.knows(w.pressure.level) || i.asked.underway.Load() {
			return false
		}
	}
	return asked > 0
}

// relieve tells the processes what to give up, those that finish their last turns
// too, when they do not know yet. One call to each is under way at a time: a plugin
// that does not answer holds up nobody.
func (w *walls) relieve(ctx context.Context, instances []*instance) {
	level := w.pressure.level
	for _, i := range instances {
		if !i.asked.prepared.Load() || i.asked.knows(level) || !i.asked.underway.CompareAndSwap(false, true) {
			continue
		}
		i.asked.level = level
		i.asked.failed.Store(false)
		w.calls.Go(func() {
			defer i.asked.underway.Store(false)
			call, cancel := context.WithTimeout(ctx, relieveTime)
			defer cancel()
			if _, err := i.backend.Relieve(call, &backendv1.RelieveRequest{Level: level}); err != nil && ctx.Err() == nil {
				i.asked.failed.Store(true)
				w.log.Warn("the plugin does not give up what it keeps for later", "level", level.String(), "error", err)
			}
		})
	}
}

// asked is what a process was last told to give up. A fresh one keeps all.
type asked struct {
	prepared atomic.Bool           // it is configured, and can give things up
	level    backendv1.ReliefLevel // the watcher's own
	underway atomic.Bool           // it is being told
	failed   atomic.Bool           // it did not answer, and is told again
}

// knows says that the process was told this level and did not fail to answer.
func (a *asked) knows(level backendv1.ReliefLevel) bool { return a.level == level && !a.failed.Load() }

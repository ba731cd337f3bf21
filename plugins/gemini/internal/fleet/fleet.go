package fleet

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrClosed is returned by Acquire after Close.
var ErrClosed = errors.New("the plugin is shutting down")

// Waits after a spare that failed to start, and their growth.
const (
	firstBackoff = time.Second
	lastBackoff  = time.Minute
)

// Config describes a fleet.
type Config struct {
	// Start makes a worker; ctx ends when the fleet is closed.
	Start func(ctx context.Context, p Profile) (*Worker, error)
	// Warm is how many workers are kept ready; see Fleet.Warm.
	Warm int
	// Max bounds the processes, busy and idle.
	Max int
	// Idle is how long a worker beyond Warm is kept without a turn.
	Idle time.Duration
	// OnError gets errors of starts that nobody waits for.
	OnError func(error)
}

// Fleet hands workers to turns. Its methods may be called concurrently.
type Fleet struct {
	config      Config
	maxStarting int
	ctx         context.Context //nolint:containedctx // the life of the fleet's own goroutines
	cancel      context.CancelFunc
	wg          sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	spare    *Profile  // of the workers that are kept ready; nil: none yet
	idle     []*Worker // the longest idle first
	live     int       // workers and starts
	waiters  []*waiter
	starting map[Profile]int
	failures int
	paused   bool // after a spare's failure, until the backoff is over
	relieved bool // keeps no idle workers for now
}

type waiter struct {
	profile Profile
	result  chan result // holds one
}

type result struct {
	worker *Worker
	err    error
}

// New makes an empty fleet. Close must be called.
func New(c Config) *Fleet {
	// More starts at a time than cores only make each slower.
	f := &Fleet{config: c, maxStarting: max(2, runtime.NumCPU()), starting: map[Profile]int{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Go(f.shrink)
	return f
}

// Warm begins to keep spares of a profile, instead of those of an earlier one.
func (f *Fleet) Warm(p Profile) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spare = &p
	f.dispatch()
}

// Relieve ends the workers that nobody uses, and from then on each when it is given
// back, until it is called with false.
func (f *Fleet) Relieve(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.relieved = on
	f.dispatch()
}

// endIdle ends the idle workers; the caller holds mu.
func (f *Fleet) endIdle() {
	for _, w := range f.idle {
		f.discard(w.stop)
	}
	f.idle = nil
}

// Acquire returns a worker of a profile, to be given back with Release. It waits
// while all are busy, first come first served.
func (f *Fleet) Acquire(ctx context.Context, p Profile) (*Worker, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, ErrClosed
	}
	w := &waiter{profile: p, result: make(chan result, 1)}
	f.waiters = append(f.waiters, w)
	f.dispatch()
	f.mu.Unlock()
	select {
	case r := <-w.result:
		return r.worker, r.err
	case <-ctx.Done():
		f.leave(w)
		return nil, context.Cause(ctx)
	}
}

// leave takes a waiter out; what it was handed already is idle again.
func (f *Fleet) leave(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.waiters, w); i >= 0 {
		f.waiters = slices.Delete(f.waiters, i, i+1)
		return
	}
	if r := <-w.result; r.worker != nil {
		f.shelve(r.worker)
		f.dispatch()
	}
}

// Release gives a worker back. One that is not fit for another turn is ended, in
// the background.
func (f *Fleet) Release(w *Worker, fit bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.used = time.Now()
	switch {
	case !fit:
		f.discard(func() { w.end(w.process.Kill) })
	case w.worn():
		f.discard(w.stop)
	default:
		f.shelve(w)
	}
	f.dispatch()
}

// shelve makes a worker idle; the caller holds mu.
func (f *Fleet) shelve(w *Worker) {
	if f.closed || w.dead() {
		f.discard(w.stop)
		return
	}
	f.idle = append(f.idle, w)
}

// discard ends a worker that is in no list; the caller holds mu.
func (f *Fleet) discard(end func()) {
	f.live--
	f.wg.Go(end)
}

// dispatch hands idle workers to waiters and starts what is missing; the caller
// holds mu.
func (f *Fleet) dispatch() {
	if f.closed {
		return
	}
	f.waiters = slices.DeleteFunc(f.waiters, f.serve)
	if f.relieved {
		f.endIdle()
	}
	missing := map[Profile]int{}
	for _, w := range f.waiters {
		if missing[w.profile]++; missing[w.profile] > f.starting[w.profile] && !f.begin(w.profile, true) {
			return
		}
	}
	if f.spare == nil || f.paused || f.relieved {
		return
	}
	ready := f.starting[*f.spare]
	for _, w := range f.idle {
		if w.profile == *f.spare {
			ready++
		}
	}
	for ; ready < f.config.Warm; ready++ {
		if !f.begin(*f.spare, false) {
			return
		}
	}
}

// serve hands a waiter the idle worker that was used last, if there is one.
func (f *Fleet) serve(w *waiter) bool {
	for i, candidate := range slices.Backward(f.idle) {
		if candidate.profile != w.profile || candidate.dead() {
			continue
		}
		f.idle = slices.Delete(f.idle, i, i+1)
		w.result <- result{worker: candidate}
		return true
	}
	return false
}

// begin starts a worker; evict says that an idle one may make room for it.
func (f *Fleet) begin(p Profile, evict bool) bool {
	starting := 0
	for _, n := range f.starting {
		starting += n
	}
	if starting >= f.maxStarting {
		return false
	}
	if f.live >= f.config.Max {
		if !evict || len(f.idle) == 0 {
			return false
		}
		oldest := f.idle[0]
		f.idle = f.idle[1:]
		f.discard(oldest.stop)
	}
	f.live++
	f.starting[p]++
	f.wg.Go(func() { f.start(p) })
	return true
}

func (f *Fleet) start(p Profile) {
	w, err := f.config.Start(f.ctx, p)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.starting[p]--; f.starting[p] == 0 {
		delete(f.starting, p)
	}
	if err != nil {
		f.live--
		f.failed(p, err)
	} else {
		f.failures = 0
		f.wg.Go(func() { f.watch(w) })
		f.shelve(w)
	}
	f.dispatch()
}

// failed tells the first who waits for such a worker, or puts off the next spare;
// the caller holds mu.
func (f *Fleet) failed(p Profile, err error) {
	for i, w := range f.waiters {
		if w.profile == p {
			f.waiters = slices.Delete(f.waiters, i, i+1)
			w.result <- result{err: err}
			return
		}
	}
	if f.closed {
		return
	}
	f.config.OnError(err)
	wait := min(firstBackoff<<min(f.failures, 10), lastBackoff)
	f.failures++
	f.paused = true
	f.wg.Go(func() {
		f.pause(wait)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.paused = false
		f.dispatch()
	})
}

func (f *Fleet) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// watch replaces an idle worker that dies. It ends with the process.
func (f *Fleet) watch(w *Worker) {
	<-w.Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.idle, w); i >= 0 {
		f.idle = slices.Delete(f.idle, i, i+1)
		f.discard(w.stop)
		f.dispatch()
	}
}

// shrink ends workers that nobody has used for long.
func (f *Fleet) shrink() {
	for f.ctx.Err() == nil {
		f.pause(max(f.config.Idle/4, time.Second))
		f.mu.Lock()
		spare := f.config.Warm
		for i := len(f.idle) - 1; i >= 0; i-- {
			w := f.idle[i]
			if f.spare != nil && w.profile == *f.spare && spare > 0 {
				spare--
				continue
			}
			if time.Since(w.used) >= f.config.Idle {
				f.idle = slices.Delete(f.idle, i, i+1)
				f.discard(w.stop)
			}
		}
		f.mu.Unlock()
	}
}

// Close fails those who wait, ends the idle workers and returns when all workers
// that were given back are gone.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.closed = true
	waiters := f.waiters
	f.waiters = nil
	f.endIdle()
	f.mu.Unlock()
	f.cancel()
	for _, w := range waiters {
		w.result <- result{err: ErrClosed}
	}
	f.wg.Wait()
}

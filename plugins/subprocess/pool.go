package subprocess

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrPoolClosed is returned by Take after Close.
var ErrPoolClosed = errors.New("the pool is closed")

// Waits after failed starts, and their growth.
const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 30 * time.Second
)

// PoolConfig describes a pool of spares.
type PoolConfig[T any] struct {
	// Size is how many spares are kept ready; 0: none, Take starts what it needs.
	Size int
	// Start makes one; ctx ends when the pool is closed.
	Start func(ctx context.Context) (T, error)
	// Stop ends one that nobody will take.
	Stop func(T)
	// Dead is closed when a spare has died by itself; nil: they do not.
	Dead func(T) <-chan struct{}
	// MaxStarting bounds concurrent starts; 0: the number of CPUs, at least 2.
	MaxStarting int
	// OnError gets errors of starts that nobody waits for; may be nil.
	OnError func(error)
}

// Pool keeps spares of something that is slow to start and used once. Its methods
// may be called concurrently.
type Pool[T any] struct {
	config PoolConfig[T]
	ctx    context.Context //nolint:containedctx // the life of the pool's own goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	idle     []*spare[T]
	waiters  []chan result[T]
	starting int
	failures int
	paused   bool // after a failure, until the backoff is over
	dropped  bool // between Drop and Keep
}

type spare[T any] struct {
	value T
	taken chan struct{}
}

type result[T any] struct {
	value T
	err   error
}

// NewPool starts filling a pool. Close must be called.
func NewPool[T any](c PoolConfig[T]) *Pool[T] {
	if c.MaxStarting <= 0 {
		c.MaxStarting = max(2, runtime.NumCPU())
	}
	p := &Pool[T]{config: c}
	p.ctx, p.cancel = context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	p.mu.Lock()
	p.fill()
	p.mu.Unlock()
	return p
}

// Take returns a spare, or a new one when there is none, and has the pool refilled
// in the background. What it returns belongs to the caller.
func (p *Pool[T]) Take(ctx context.Context) (T, error) {
	return p.TakeBest(ctx, func(T) int { return 0 })
}

// TakeBest is Take with a choice among the spares: the one with the highest rank,
// the oldest of equals; a negative rank leaves it to others. A new one is returned
// whatever its rank.
func (p *Pool[T]) TakeBest(ctx context.Context, rank func(T) int) (T, error) {
	var zero T
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return zero, ErrPoolClosed
	}
	for {
		best, bestRank := -1, -1
		for i, s := range p.idle {
			if r := rank(s.value); r > bestRank {
				best, bestRank = i, r
			}
		}
		if best < 0 {
			break
		}
		s := p.idle[best]
		p.idle = slices.Delete(p.idle, best, best+1)
		close(s.taken)
		if p.isDead(s.value) {
			p.stopLater(s.value)
			continue
		}
		p.failures = 0
		p.fill()
		p.mu.Unlock()
		return s.value, nil
	}
	ch := make(chan result[T], 1)
	p.waiters = append(p.waiters, ch)
	p.fill()
	p.mu.Unlock()
	select {
	case r := <-ch:
		return r.value, r.err
	case <-ctx.Done():
		p.leave(ch)
		return zero, context.Cause(ctx)
	}
}

// leave takes a waiter out; what was already handed to it goes to the next.
func (p *Pool[T]) leave(ch chan result[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiters, ch); i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
		return
	}
	if r := <-ch; r.err == nil {
		p.offer(r.value)
	}
}

// Idle is the number of spares that are ready.
func (p *Pool[T]) Idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// Drop stops the spares and keeps none until Keep; Take starts what it needs.
func (p *Pool[T]) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = true
	p.stopIdle()
}

// Keep undoes Drop.
func (p *Pool[T]) Keep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped = false
	p.fill()
}

// stopIdle stops the spares; the caller holds mu.
func (p *Pool[T]) stopIdle() {
	for _, s := range p.idle {
		close(s.taken)
		p.stopLater(s.value)
	}
	p.idle = nil
}

// Close stops the spares, fails waiting Takes and returns when all is ended.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	p.closed = true
	waiters := p.waiters
	p.waiters = nil
	p.stopIdle()
	p.mu.Unlock()
	p.cancel()
	for _, ch := range waiters {
		ch <- result[T]{err: ErrPoolClosed}
	}
	p.wg.Wait()
}

// fill begins as many starts as are wanted; the caller holds mu.
func (p *Pool[T]) fill() {
	for !p.closed && p.starting < p.config.MaxStarting {
		want := len(p.waiters)
		if !p.paused && !p.dropped {
			want += p.config.Size - len(p.idle)
		}
		if p.starting >= want {
			return
		}
		p.starting++
		p.wg.Go(p.start)
	}
}

func (p *Pool[T]) start() {
	value, err := p.config.Start(p.ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	if err == nil {
		p.offer(value)
		p.fill()
		return
	}
	if len(p.waiters) > 0 {
		ch := p.waiters[0]
		p.waiters = p.waiters[1:]
		ch <- result[T]{err: err}
	} else if p.config.OnError != nil && !p.closed {
		p.config.OnError(err)
	}
	p.failed()
	p.fill()
}

// failed puts off the next spare; the caller holds mu. Waiters are not put off.
func (p *Pool[T]) failed() {
	if p.closed || p.paused {
		return
	}
	p.paused = true
	wait := min(firstBackoff<<min(p.failures, 10), lastBackoff)
	p.failures++
	p.wg.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.ctx.Done():
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.paused = false
		p.fill()
	})
}

// offer gives a new value to a waiter or keeps it; the caller holds mu.
func (p *Pool[T]) offer(value T) {
	switch {
	case p.closed:
		p.stopLater(value)
	case len(p.waiters) > 0:
		ch := p.waiters[0]
		p.waiters = p.waiters[1:]
		p.failures = 0
		ch <- result[T]{value: value}
	case p.dropped || len(p.idle) >= p.config.Size:
		p.stopLater(value)
	default:
		s := &spare[T]{value: value, taken: make(chan struct{})}
		p.idle = append(p.idle, s)
		if p.config.Dead != nil {
			p.wg.Go(func() { p.watch(s) })
		}
	}
}

// watch replaces a spare that dies while nobody uses it.
func (p *Pool[T]) watch(s *spare[T]) {
	select {
	case <-s.taken:
		return
	case <-p.config.Dead(s.value):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, s)
	if i < 0 {
		return
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	p.stopLater(s.value)
	p.failed()
}

func (p *Pool[T]) isDead(value T) bool {
	if p.config.Dead == nil {
		return false
	}
	select {
	case <-p.config.Dead(value):
		return true
	default:
		return false
	}
}

func (p *Pool[T]) stopLater(value T) { p.wg.Go(func() { p.config.Stop(value) }) }

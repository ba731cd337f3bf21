package engine

import (
	"context"
	"sync"
	"time"
)

// Limits bound the turns of one backend.
type Limits struct {
	// MaxConcurrent turns; 0: 32. The plugin may lower it.
	MaxConcurrent int
	// MaxQueue is how many turns wait; 0: 256; negative: none.
	MaxQueue int
	// QueueTimeout is how long a turn waits; 0: one minute.
	QueueTimeout time.Duration
}

// Defaults of Limits.
const (
	defaultMaxConcurrent = 32
	defaultMaxQueue      = 256
	defaultQueueTimeout  = time.Minute
)

func (l Limits) withDefaults() Limits {
	if l.MaxConcurrent <= 0 {
		l.MaxConcurrent = defaultMaxConcurrent
	}
	switch {
	case l.MaxQueue == 0:
		l.MaxQueue = defaultMaxQueue
	case l.MaxQueue < 0:
		l.MaxQueue = 0
	}
	if l.QueueTimeout <= 0 {
		l.QueueTimeout = defaultQueueTimeout
	}
	return l
}

// gate admits turns to one backend, first come first served.
type gate struct {
	backend string

	mu      sync.Mutex
	limits  Limits
	limit   int // on running ones, as the last turn found it: it changes with the plugin
	running int
	queue   []*ticket
	took    time.Duration // a moving average of how long turns take
}

type ticket struct{ admitted chan struct{} }

// enter waits for a place; leave must be called when the turn is over. plugin is
// the plugin's own bound, 0: none.
func (g *gate) enter(ctx context.Context, plugin int) (leave func(), err error) {
	g.mu.Lock()
	g.limit = g.limits.MaxConcurrent
	if plugin > 0 {
		g.limit = min(g.limit, plugin)
	}
	g.admit()
	if g.running < g.limit {
		g.running++
		g.mu.Unlock()
		return g.leaver(), nil
	}
	if len(g.queue) >= g.limits.MaxQueue {
		retry := g.estimate()
		running, queued := g.running, len(g.queue)
		g.mu.Unlock()
		e := Errorf(CodeQueueFull, "backend %s is busy: %d turns run and %d wait; try again later", g.backend, running, queued)
		e.Backend, e.Retryable, e.RetryAfter = g.backend, true, retry
		return nil, e
	}
	t := &ticket{admitted: make(chan struct{})}
	g.queue = append(g.queue, t)
	wait := g.limits.QueueTimeout
	g.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-t.admitted:
		return g.leaver(), nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		e := Errorf(CodeQueueTimeout, "backend %s was busy for %v; try again later", g.backend, wait)
		e.Backend, e.Retryable, e.RetryAfter = g.backend, true, time.Second
		err = e
	}
	if g.withdraw(t) {
		return nil, err
	}
	g.leaver()() // admitted in the same moment
	return nil, err
}

// withdraw takes a ticket out of the queue; false: it was admitted already.
func (g *gate) withdraw(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, q := range g.queue {
		if q == t {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return true
		}
	}
	return false
}

// admit lets those in for whom there is a place. The caller holds mu.
func (g *gate) admit() {
	for len(g.queue) > 0 && g.running < g.limit {
		g.running++
		close(g.queue[0].admitted)
		g.queue = g.queue[1:]
	}
}

// leaver ends a turn: its place goes to the first in the queue.
func (g *gate) leaver() func() {
	begin := time.Now()
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		const weight = 8 // of the past in the average
		g.took += (time.Since(begin) - g.took) / weight
		g.running--
		g.admit()
	})
}

// estimate is when a place may be free: the queue's length in average turns,
// between one second and half a minute. The caller holds mu.
func (g *gate) estimate() time.Duration {
	d := g.took * time.Duration(len(g.queue)+1) / time.Duration(max(1, g.limit))
	return max(time.Second, min(d, 30*time.Second))
}

// load is the number of running and waiting turns.
func (g *gate) load() (running, queued int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, len(g.queue)
}

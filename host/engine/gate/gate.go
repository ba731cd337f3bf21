package gate

import (
	"context"
	"fmt"
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

// Config of a Gate.
type Config struct {
	// Backend that is behind it, for errors.
	Backend string
	// Limits are asked for with each turn: the configuration may have changed. Required.
	Limits func() Limits
	// Pressure says why nobody may enter now, empty: all may; changed is closed when
	// that changes, nil: it never does. Required.
	Pressure func() (reason string, changed <-chan struct{})
}

// Gate admits turns to one backend, first come first served. Its methods may be called
// concurrently.
type Gate struct {
	backend  string
	limits   func() Limits
	pressure func() (reason string, changed <-chan struct{})

	mu      sync.Mutex
	plugin  int // the plugin's own bound, as the last turn found it; 0: none
	limit   int // on running ones, of the configuration and the plugin
	running int
	queue   []*ticket
	took    time.Duration // a moving average of how long turns take
}

// New makes a gate that nobody has entered.
func New(c Config) *Gate {
	return &Gate{backend: c.Backend, limits: c.Limits, pressure: c.Pressure}
}

// Busy says that a turn got no place.
type Busy struct {
	// Full says that it could not even wait; otherwise it has waited too long.
	Full bool
	// RetryAfter is when there may be a place.
	RetryAfter time.Duration
	message    string
}

func (b *Busy) Error() string { return b.message }

type ticket struct{ admitted chan struct{} }

// Enter waits for a place; leave must be called when the turn is over, and may be called
// more than once. plugin is the plugin's own bound, 0: none. The error is a *Busy, or the
// cause of ctx's end.
func (g *Gate) Enter(ctx context.Context, plugin int) (leave func(), err error) {
	g.mu.Lock()
	g.plugin = plugin
	limits := g.tune()
	pressure, changed := g.pressure()
	g.admit()
	if pressure == "" && g.running < g.limit {
		g.running++
		g.mu.Unlock()
		return g.leaver(), nil
	}
	if len(g.queue) >= limits.MaxQueue {
		e := g.full(pressure)
		g.mu.Unlock()
		return nil, e
	}
	t := &ticket{admitted: make(chan struct{})}
	g.queue = append(g.queue, t)
	wait := limits.QueueTimeout
	g.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	for err == nil {
		select {
		case <-t.admitted:
			return g.leaver(), nil
		case <-changed:
			// The next change is asked for first: none can be missed.
			pressure, changed = g.pressure()
			g.wake()
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-timer.C:
			err = g.tooLate(wait, pressure)
		}
	}
	if g.withdraw(t) {
		g.wake() // it may have been the one to see the pressure's end
		return nil, err
	}
	g.leaver()() // admitted in the same moment
	return nil, err
}

// tune sets limit and returns the limits that it comes of; the caller holds mu.
func (g *Gate) tune() Limits {
	limits := g.limits().withDefaults()
	g.limit = limits.MaxConcurrent
	if g.plugin > 0 {
		g.limit = min(g.limit, g.plugin)
	}
	return limits
}

// Retune lets those in who have a place under new limits.
func (g *Gate) Retune() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tune()
	g.admit()
}

// full is the error for a turn that cannot even wait; the caller holds mu.
func (g *Gate) full(pressure string) error {
	message := fmt.Sprintf("backend %s is busy: %d turns run and %d wait; try again later", g.backend, g.running, len(g.queue))
	if pressure != "" {
		message = fmt.Sprintf("%s, and %d turns wait until it is less; try again later", pressure, len(g.queue))
	}
	return &Busy{Full: true, RetryAfter: g.estimate(), message: message}
}

// tooLate is the error for a turn that has waited too long.
func (g *Gate) tooLate(wait time.Duration, pressure string) error {
	message := fmt.Sprintf("backend %s was busy for %v; try again later", g.backend, wait)
	if pressure != "" {
		message = fmt.Sprintf("%s, and was not below it within %v; try again later", pressure, wait)
	}
	return &Busy{RetryAfter: time.Second, message: message}
}

// withdraw takes a ticket out of the queue; false: it was admitted already.
func (g *Gate) withdraw(t *ticket) bool {
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

// wake is admit for those who do not hold mu.
func (g *Gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admit()
}

// admit lets those in for whom there is a place, unless nobody may enter. The caller
// holds mu.
func (g *Gate) admit() {
	for len(g.queue) > 0 && g.running < g.limit {
		if pressure, _ := g.pressure(); pressure != "" {
			return
		}
		g.running++
		close(g.queue[0].admitted)
		g.queue = g.queue[1:]
	}
}

// leaver ends a turn: its place goes to the first in the queue, which under
// pressure waits for its end.
func (g *Gate) leaver() func() {
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
func (g *Gate) estimate() time.Duration {
	d := g.took * time.Duration(len(g.queue)+1) / time.Duration(max(1, g.limit))
	return max(time.Second, min(d, 30*time.Second))
}

// Load is the number of running and waiting turns, and the bound on running ones with
// that of the plugin, 0: none.
func (g *Gate) Load(plugin int) (running, queued, limit int) {
	limit = g.limits().withDefaults().MaxConcurrent
	if plugin > 0 {
		limit = min(limit, plugin)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, len(g.queue), limit
}

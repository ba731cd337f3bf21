package host

import (
	"context"
	"sync"
	"time"
)

// counter is a store that counts its sessions.
type counter interface {
	CountSessions(ctx context.Context) (int, error)
}

// Timings of the count: how old it may be, how long who asks waits for a newer one,
// and how long the store may take.
const (
	countAge   = time.Second
	countWait  = 10 * time.Millisecond
	countLimit = 10 * time.Second
)

// sessionCount remembers the number of kept sessions for those who must not wait for
// the store. Its methods may be called concurrently.
type sessionCount struct {
	store counter // nil: nobody counts

	mu      sync.Mutex
	n       int
	known   bool
	at      time.Time
	done    chan struct{} // closed when the count under way is over; nil: none is
	running sync.WaitGroup
}

// SessionCount is the number of kept sessions, not much older than a second unless
// the store is slow; ok is false when it is not known.
func (c *sessionCount) SessionCount() (n int, ok bool) {
	if c.store == nil {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < countAge {
		return c.n, c.known
	}
	if c.done == nil {
		c.done = make(chan struct{})
		c.running.Go(c.count)
	}
	done := c.done
	c.mu.Unlock()
	select {
	case <-done:
	case <-time.After(countWait):
	}
	c.mu.Lock()
	return c.n, c.known
}

// count asks the store once.
func (c *sessionCount) count() {
	ctx, cancel := context.WithTimeout(context.Background(), countLimit)
	defer cancel()
	n, err := c.store.CountSessions(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n, c.known, c.at = n, err == nil, time.Now()
	close(c.done)
	c.done = nil
}

// wait waits for a count under way, before the store is closed.
func (c *sessionCount) wait() { c.running.Wait() }

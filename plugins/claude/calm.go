package main

import (
	"context"
	"sync"
	"time"
)

// calm lets work that can wait give way to turns whose answer has not begun. The
// zero value is ready; its methods may be called concurrently.
type calm struct {
	mu      sync.Mutex
	turns   int
	changed chan struct{} // closed when turns becomes zero
}

// enter counts a turn until leave is called, which may be more than once.
func (c *calm) enter() (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turns == 0 {
		c.changed = make(chan struct{})
	}
	c.turns++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.turns--
		if c.turns == 0 {
			close(c.changed)
		}
	})
}

// wait returns when no turn is beginning, or after limit, or when ctx ends.
func (c *calm) wait(ctx context.Context, limit time.Duration) {
	c.mu.Lock()
	turns, changed := c.turns, c.changed
	c.mu.Unlock()
	if turns == 0 {
		return
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

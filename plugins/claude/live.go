package main

import (
	"crypto/rand"
	"sync"
	"time"
)

// conversations are the processes that wait for the next turn of their
// conversation, least recently used first. Its methods may be called concurrently.
type conversations struct {
	limit int
	idle  time.Duration
	end   func(*process)

	mu     sync.Mutex
	closed bool
	none   bool // keeps none for now
	kept   []*kept
	wg     sync.WaitGroup
}

// kept is a process with what it holds.
type kept struct {
	token string
	p     *process
	gone  chan struct{} // closed when it is not kept any more
}

func newConversations(limit int, idle time.Duration, end func(*process)) *conversations {
	return &conversations{limit: limit, idle: idle, end: end}
}

// keep takes over a process that is at rest and returns the token to have it back
// with, nil when it is not kept; then the process is ended.
func (c *conversations) keep(p *process) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.none || c.limit == 0 {
		c.end(p)
		return nil
	}
	for len(c.kept) >= c.limit {
		oldest := c.kept[0]
		c.drop(0)
		c.end(oldest.p)
	}
	k := &kept{token: rand.Text(), p: p, gone: make(chan struct{})}
	c.kept = append(c.kept, k)
	c.wg.Go(func() { c.watch(k) })
	return []byte(k.token)
}

// take returns the process of a token when it holds that many messages; it then
// belongs to the caller. A token is good for one turn.
func (c *conversations) take(token []byte, held int) (*process, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.kept {
		if k.token != string(token) {
			continue
		}
		c.drop(i)
		select {
		case <-k.p.proc.Done():
		default:
			if k.p.held == held {
				return k.p, true
			}
		}
		c.end(k.p)
		return nil, false
	}
	return nil, false
}

// release ends the conversation of p, if it is kept.
func (c *conversations) release(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.kept {
		if k.p == p {
			c.drop(i)
			c.end(p)
			return
		}
	}
}

// drop forgets the i-th; the caller holds mu and cares for the process.
func (c *conversations) drop(i int) {
	close(c.kept[i].gone)
	c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
}

// watch ends a conversation that is not continued in time or whose process died.
func (c *conversations) watch(k *kept) {
	timer := time.NewTimer(c.idle)
	defer timer.Stop()
	select {
	case <-k.gone:
		return
	case <-timer.C:
	case <-k.p.proc.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.kept {
		if c.kept[i] == k {
			c.drop(i)
			c.end(k.p)
			return
		}
	}
}

// relieve ends all conversations and keeps none until it is called with false.
func (c *conversations) relieve(none bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.none = none
	if none {
		c.endAll()
	}
}

// endAll ends all conversations; the caller holds mu.
func (c *conversations) endAll() {
	for len(c.kept) > 0 {
		p := c.kept[0].p
		c.drop(0)
		c.end(p)
	}
}

// close ends all conversations; the processes are ended in the background.
func (c *conversations) close() {
	c.mu.Lock()
	c.closed = true
	c.endAll()
	c.mu.Unlock()
	c.wg.Wait()
}

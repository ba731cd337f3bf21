package main

import (
	"crypto/rand"
	"sync"
	"time"
)

const (
	// liveIdle is how long a conversation is kept without a turn.
	liveIdle = 5 * time.Minute
	// maxLive bounds the kept conversations: about 1 MB each.
	maxLive = 32
)

// conversation is a thread that waits for its next turn. It holds a reference of
// its instance.
type conversation struct {
	instance *instance
	thread   thread
	provider string
	// held is how many messages it holds, the last answer included.
	held int
	// used is the usage of its turns so far.
	used  tokenUsage
	timer *time.Timer
	since time.Time
	end   func() // frees the thread and the reference
}

// liveStore keeps conversations by token; the least recently used goes first.
type liveStore struct {
	idle time.Duration
	max  int

	mu     sync.Mutex
	closed bool
	none   bool // keeps none for now
	byKey  map[string]*conversation
}

func newLiveStore(idle time.Duration, limit int) *liveStore {
	return &liveStore{idle: idle, max: limit, byKey: map[string]*conversation{}}
}

// keep stores c and returns its token, nil when nothing is kept any more.
func (s *liveStore) keep(c *conversation) []byte {
	token := rand.Text()
	s.mu.Lock()
	if s.closed || s.none {
		s.mu.Unlock()
		c.end()
		return nil
	}
	var oldest *conversation
	if len(s.byKey) >= s.max {
		oldest = s.removeOldest()
	}
	c.since = time.Now()
	c.timer = time.AfterFunc(s.idle, func() {
		if c := s.take(token); c != nil {
			c.end()
		}
	})
	s.byKey[token] = c
	s.mu.Unlock()
	if oldest != nil {
		oldest.end()
	}
	return []byte(token)
}

func (s *liveStore) removeOldest() *conversation {
	var key string
	for k, c := range s.byKey {
		if key == "" || c.since.Before(s.byKey[key].since) {
			key = k
		}
	}
	c := s.byKey[key]
	delete(s.byKey, key)
	c.timer.Stop()
	return c
}

// take removes a conversation, which then belongs to the caller; nil: unknown.
func (s *liveStore) take(token string) *conversation {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byKey[token]
	if c != nil {
		delete(s.byKey, token)
		c.timer.Stop()
	}
	return c
}

// dropOf ends the conversations of an instance; all with nil.
func (s *liveStore) dropOf(i *instance) {
	var ended []*conversation
	s.mu.Lock()
	for key, c := range s.byKey {
		if i == nil || c.instance == i {
			delete(s.byKey, key)
			c.timer.Stop()
			ended = append(ended, c)
		}
	}
	s.mu.Unlock()
	for _, c := range ended {
		c.end()
	}
}

// relieve ends all conversations and keeps none until it is called with false.
func (s *liveStore) relieve(none bool) {
	s.mu.Lock()
	s.none = none
	s.mu.Unlock()
	if none {
		s.dropOf(nil)
	}
}

func (s *liveStore) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.dropOf(nil)
}

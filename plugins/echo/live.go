package main

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins"
)

// Bounds of live conversations.
const (
	liveIdle = 5 * time.Minute
	maxLive  = 256
)

// conversations are kept in memory under a token that is good for one turn.
type conversations struct {
	mu    sync.Mutex
	kept  map[string]conversation
	order []string // oldest first; may name conversations that are gone
}

type conversation struct {
	messages []plugins.Message
	session  *session // nil: it is none
	since    time.Time
}

func newConversations() *conversations { return &conversations{kept: map[string]conversation{}} }

// take returns the conversation of the turn, which is what is kept under its token
// and what is new; ok is false when that is gone. The branch of a session begins
// another conversation, and one that belongs to no session does not become one.
func (c *conversations) take(turn *plugins.Turn) (k conversation, ok bool) {
	if turn.Live == nil || len(turn.Live.Token) == 0 || turn.Session != nil && turn.Session.Action == plugins.SessionFork {
		return k, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok = c.kept[string(turn.Live.Token)]
	delete(c.kept, string(turn.Live.Token))
	if !ok || time.Since(k.since) > liveIdle || turn.Live.Held != len(k.messages) || turn.Live.Held > len(turn.Messages) ||
		(turn.Session == nil) != (k.session == nil) {
		return conversation{}, false
	}
	k.messages = append(k.messages, turn.Messages[turn.Live.Held:]...)
	return k, true
}

// keep stores a conversation and forgets the oldest.
func (c *conversations) keep(messages []plugins.Message, s *session) (token []byte) {
	key := rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[key] = conversation{messages: messages, session: s, since: time.Now()}
	c.order = append(c.order, key)
	for len(c.order) > maxLive {
		delete(c.kept, c.order[0])
		c.order = c.order[1:]
	}
	return []byte(key)
}

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
	since    time.Time
}

func newConversations() *conversations { return &conversations{kept: map[string]conversation{}} }

// take returns the conversation of the turn: what is kept under its token and what
// is new, or, when that is gone, all messages of the turn.
func (c *conversations) take(turn *plugins.Turn) (messages []plugins.Message, live bool) {
	if turn.Live == nil || len(turn.Live.Token) == 0 {
		return turn.Messages, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[string(turn.Live.Token)]
	delete(c.kept, string(turn.Live.Token))
	if !ok || time.Since(k.since) > liveIdle || turn.Live.Held != len(k.messages) || turn.Live.Held > len(turn.Messages) {
		return turn.Messages, false
	}
	return append(k.messages, turn.Messages[turn.Live.Held:]...), true
}

// keep stores a conversation and forgets the oldest.
func (c *conversations) keep(messages []plugins.Message) (token []byte) {
	key := rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept[key] = conversation{messages: messages, since: time.Now()}
	c.order = append(c.order, key)
	for len(c.order) > maxLive {
		delete(c.kept, c.order[0])
		c.order = c.order[1:]
	}
	return []byte(key)
}

package acp

import (
	"context"
	"sync"
)

// Inbox holds, in order, what the agent says about one session. Next has one
// caller at a time; the other methods may be called concurrently.
type Inbox struct {
	conn    *Conn
	session string

	mu      sync.Mutex
	queue   []Message
	err     error
	changed chan struct{} // holds one token when the queue or err has changed
}

// Inbox begins to collect what concerns a session; messages about sessions
// without an inbox are dropped. Close it when done.
func (c *Conn) Inbox(session string) *Inbox {
	b := &Inbox{conn: c, session: session, changed: make(chan struct{}, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inboxes[session] = b
	if c.err != nil {
		b.end(c.err)
	}
	return b
}

// Close stops collecting.
func (b *Inbox) Close() {
	c := b.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inboxes[b.session] == b {
		delete(c.inboxes, b.session)
	}
	for id, other := range c.sends {
		if other == b {
			delete(c.sends, id)
		}
	}
}

// Send sends a request whose reply comes through Next, after everything that the
// agent said before it.
func (b *Inbox) Send(method string, params any) error {
	_, err := b.conn.request(method, params, func(id string) { b.conn.sends[id] = b })
	return err
}

// Next returns the next message; after the connection's end and the last message
// an error with ErrClosed in its chain.
func (b *Inbox) Next(ctx context.Context) (Message, error) {
	for {
		b.mu.Lock()
		if len(b.queue) > 0 {
			m := b.queue[0]
			b.queue[0] = Message{} // let go of its bytes
			b.queue = b.queue[1:]
			b.mu.Unlock()
			return m, nil
		}
		err := b.err
		b.mu.Unlock()
		if err != nil {
			return Message{}, err
		}
		select {
		case <-b.changed:
		case <-ctx.Done():
			return Message{}, context.Cause(ctx)
		}
	}
}

func (b *Inbox) put(m Message) {
	b.mu.Lock()
	b.queue = append(b.queue, m)
	b.mu.Unlock()
	b.signal()
}

func (b *Inbox) end(err error) {
	b.mu.Lock()
	b.err = err
	b.mu.Unlock()
	b.signal()
}

func (b *Inbox) signal() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

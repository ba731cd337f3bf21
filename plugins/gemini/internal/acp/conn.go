package acp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

// Transport carries lines. ReadLine is called by one goroutine; what it returns
// is valid until its next call. Its error ends the connection.
type Transport interface {
	WriteLine(line []byte) error
	ReadLine() ([]byte, error)
}

// ErrClosed is in the chain of every error after the connection's end.
var ErrClosed = errors.New("the agent's output has ended")

// Conn is a connection to an agent. Its methods may be called concurrently. One
// goroutine reads; it never waits for a consumer, so that one slow session holds
// up nothing: what is not taken yet is kept without a bound. The agent is
// trusted to be no faster than its model.
type Conn struct {
	transport Transport
	done      chan struct{}

	mu      sync.Mutex
	err     error
	nextID  int64
	calls   map[string]chan Message // by request id
	sends   map[string]*Inbox       // by request id
	inboxes map[string]*Inbox       // by session id
}

// New begins to read. The connection ends when the transport's ReadLine fails,
// which is the caller's to bring about.
func New(t Transport) *Conn {
	c := &Conn{
		transport: t, done: make(chan struct{}),
		calls: map[string]chan Message{}, sends: map[string]*Inbox{}, inboxes: map[string]*Inbox{},
	}
	go c.read()
	return c
}

// Done is closed when the agent's output has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

func (c *Conn) read() {
	for {
		line, err := c.transport.ReadLine()
		if err != nil {
			c.end(fmt.Errorf("%w: %w", ErrClosed, err))
			return
		}
		if f, err := parse(line); err == nil { // agents print other things too
			c.dispatch(f)
		}
	}
}

func (c *Conn) dispatch(f frame) {
	m := Message{Method: f.Method, ID: f.ID, Params: f.Params, Result: f.Result, Err: f.Error}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.Method != "" {
		if b := c.inboxes[f.session()]; b != nil {
			b.put(m)
		}
		return // a request about a session that was given up is never answered
	}
	id := string(f.ID)
	if ch := c.calls[id]; ch != nil {
		delete(c.calls, id)
		ch <- m
		return
	}
	if b := c.sends[id]; b != nil {
		delete(c.sends, id)
		b.put(m)
	}
}

func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	for _, b := range c.inboxes {
		b.end(err)
	}
	close(c.done)
}

// Call sends a request and waits for the reply, which it decodes into result
// unless that is nil. The agent's own error is an *Error.
func (c *Conn) Call(ctx context.Context, method string, params, result any) error {
	ch := make(chan Message, 1)
	id, err := c.request(method, params, func(id string) { c.calls[id] = ch })
	if err != nil {
		return err
	}
	select {
	case m := <-ch:
		return m.decode(method, result)
	case <-c.done:
		select {
		case m := <-ch:
			return m.decode(method, result)
		default:
			return fmt.Errorf("calling %s: %w", method, c.err)
		}
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.calls, id)
		c.mu.Unlock()
		return fmt.Errorf("calling %s: %w", method, context.Cause(ctx))
	}
}

func (m Message) decode(method string, result any) error {
	if m.Err != nil {
		return fmt.Errorf("calling %s: %w", method, m.Err)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(m.Result, result); err != nil {
		return fmt.Errorf("reading the reply to %s: %w", method, err)
	}
	return nil
}

// request writes a request; register is called with its id, holding mu, before.
func (c *Conn) request(method string, params any, register func(id string)) (string, error) {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return "", fmt.Errorf("calling %s: %w", method, c.err)
	}
	c.nextID++
	id := strconv.FormatInt(c.nextID, 10)
	register(id)
	c.mu.Unlock()
	err := c.write(frame{ID: json.RawMessage(id), Method: method}, params)
	if err != nil {
		c.mu.Lock()
		delete(c.calls, id)
		delete(c.sends, id)
		c.mu.Unlock()
		return "", fmt.Errorf("calling %s: %w", method, err)
	}
	return id, nil
}

func (c *Conn) write(f frame, params any) error {
	var err error
	if params != nil {
		if f.Params, err = json.Marshal(params); err != nil {
			return err
		}
	}
	f.JSONRPC = "2.0"
	line, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return c.transport.WriteLine(line)
}

// Notify sends a notification.
func (c *Conn) Notify(method string, params any) error {
	if err := c.write(frame{Method: method}, params); err != nil {
		return fmt.Errorf("notifying %s: %w", method, err)
	}
	return nil
}

// Reply answers a request of the agent.
func (c *Conn) Reply(id json.RawMessage, result any) error {
	raw, err := json.Marshal(result)
	if err == nil {
		err = c.write(frame{ID: id, Result: raw}, nil)
	}
	if err != nil {
		return fmt.Errorf("answering the agent: %w", err)
	}
	return nil
}

// Refuse answers a request of the agent with an error.
func (c *Conn) Refuse(id json.RawMessage, why string) error {
	const internalError = -32603
	if err := c.write(frame{ID: id, Error: &Error{Code: internalError, Message: why}}, nil); err != nil {
		return fmt.Errorf("answering the agent: %w", err)
	}
	return nil
}

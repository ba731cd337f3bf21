package appserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/plugins/subprocess"
)

// ErrGone is in the chain of every error that the end of the process caused.
var ErrGone = errors.New("codex app-server has ended")

// ClientName is who made a thread, in the CLI's files.
const ClientName = "clinvk"

// Config of a Client.
type Config struct {
	// Process to start; Args are those after "app-server", Env lacks the log's
	// variables, which Start adds.
	Process subprocess.Config
	// ClientVersion is told to the app-server.
	ClientVersion string
	// OnSocketRefused is called when no WebSocket could be opened, also outside
	// of turns; may be nil. It must not block.
	OnSocketRefused func()
}

// Client is a running app-server. Its methods may be called concurrently.
type Client struct {
	process *subprocess.Process
	config  Config
	next    atomic.Int64

	mu      sync.Mutex
	pending map[int64]chan<- message
	inboxes map[string]*Inbox
	log     logReader
	tail    []string
	gone    chan struct{} // stdout is at its end
}

// quiet are notifications that nothing is done with.
var quiet = []string{
	"thread/started", "thread/status/changed", "thread/settings/updated", "account/rateLimits/updated",
	"remoteControl/status/changed", "configWarning", "mcpServer/startupStatus/updated", "skills/changed",
	"item/commandExecution/outputDelta", "item/fileChange/outputDelta", "turn/diff/updated", "turn/plan/updated",
}

// Command is the process that Start runs.
func (c Config) Command() subprocess.Config {
	p := c.Process
	p.Args = append([]string{"app-server"}, p.Args...)
	p.Env = slices.Concat(p.Env, []string{"RUST_LOG=" + logFilter, "LOG_FORMAT=json", "NO_COLOR=1"})
	return p
}

// Start runs an app-server and shakes hands with it. ctx bounds the start. The
// caller must call Close.
func Start(ctx context.Context, c Config) (*Client, error) {
	k := &Client{
		config: c, pending: map[int64]chan<- message{}, inboxes: map[string]*Inbox{},
		log: logReader{now: time.Now}, gone: make(chan struct{}),
	}
	c.Process = c.Command()
	c.Process.OnStderr = k.stderr
	c.Process.Logger = nil // the log holds heads of answers; the lines for people are kept in tail
	c.Process.CloseStdinFirst = true
	process, err := subprocess.Start(ctx, c.Process)
	if err != nil {
		return nil, err
	}
	k.process = process
	go k.read()
	if err := k.handshake(ctx); err != nil {
		k.Kill()
		return nil, err
	}
	return k, nil
}

func (k *Client) handshake(ctx context.Context) error {
	err := k.Call(ctx, "initialize", map[string]any{
		"clientInfo":   map[string]any{"name": ClientName, "title": "clinvk", "version": k.config.ClientVersion},
		"capabilities": map[string]any{"experimentalApi": true, "optOutNotificationMethods": quiet},
	}, nil)
	if err != nil {
		return fmt.Errorf("starting codex app-server: %w", err)
	}
	return k.send(message{Method: "initialized"})
}

// read routes everything that the app-server says until its end.
func (k *Client) read() {
	defer k.end()
	for {
		line, err := k.process.ReadLine()
		if errors.Is(err, subprocess.ErrLineTooLong) {
			k.note("a line of output over the bound was dropped")
			continue
		}
		if err != nil {
			return
		}
		m, err := parseMessage(line)
		if err != nil {
			k.note(err.Error())
			continue
		}
		k.route(m)
	}
}

func (k *Client) route(m message) {
	if m.Method == "" {
		id, err := strconv.ParseInt(string(m.ID), 10, 64)
		if err != nil {
			return
		}
		k.mu.Lock()
		ch := k.pending[id]
		delete(k.pending, id)
		k.mu.Unlock()
		if ch != nil {
			ch <- m
		}
		return
	}
	k.mu.Lock()
	inbox := k.inboxes[threadOf(m.Params)]
	k.mu.Unlock()
	switch {
	case inbox != nil:
		inbox.put(Event{Method: m.Method, Request: m.ID, Params: m.Params})
	case m.ID != nil: // nobody will answer: the app-server must not wait
		_ = k.Refuse(m.ID, "clinvk has no turn in this thread") // the process is gone: nobody waits
	}
}

// end fails all that wait for answers.
func (k *Client) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.gone)
	for id, ch := range k.pending {
		close(ch)
		delete(k.pending, id)
	}
}

// stderr takes one line of the log.
func (k *Client) stderr(line string) {
	k.mu.Lock()
	thread, record, plain := k.log.read(line)
	inbox := k.inboxes[thread]
	k.mu.Unlock()
	if plain != "" {
		k.note(plain)
	}
	if record == nil {
		return
	}
	if record.Kind == SocketRefused && k.config.OnSocketRefused != nil {
		k.config.OnSocketRefused()
	}
	if inbox != nil {
		inbox.put(Event{Log: record})
	}
}

// maxTail is how many lines for people are kept.
const maxTail = 40

func (k *Client) note(line string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.tail) == maxTail {
		k.tail = k.tail[1:]
	}
	k.tail = append(k.tail, line)
}

// Tail is the end of what the app-server logged for people, redacted.
func (k *Client) Tail() string {
	const limit = 8 << 10
	k.mu.Lock()
	defer k.mu.Unlock()
	text := strings.Join(k.tail, "\n")
	return strings.ToValidUTF8(text[max(0, len(text)-limit):], "")
}

// Subscribe routes a thread's events to an Inbox until stop is called.
func (k *Client) Subscribe(thread string) (inbox *Inbox, stop func()) {
	inbox = newInbox()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.inboxes[thread] = inbox
	return inbox, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.inboxes[thread] == inbox {
			delete(k.inboxes, thread)
		}
	}
}

// Call sends a request and decodes the answer into result (may be nil). The error
// is an *RPCError when the app-server said so.
func (k *Client) Call(ctx context.Context, method string, params, result any) error {
	id := k.next.Add(1)
	ch := make(chan message, 1)
	k.mu.Lock()
	select {
	case <-k.gone:
		k.mu.Unlock()
		return fmt.Errorf("%s: %w", method, ErrGone)
	default:
	}
	k.pending[id] = ch
	k.mu.Unlock()
	if err := k.request(id, method, params); err != nil {
		k.forget(id)
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m, ok := <-ch:
		switch {
		case !ok:
			return fmt.Errorf("%s: %w", method, ErrGone)
		case m.Error != nil:
			return fmt.Errorf("%s: %w", method, m.Error)
		case result == nil:
			return nil
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			return fmt.Errorf("%s: reading the answer: %w", method, err)
		}
		return nil
	case <-ctx.Done():
		k.forget(id)
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// Tell sends a request whose answer does not matter.
func (k *Client) Tell(method string, params any) error {
	return k.request(k.next.Add(1), method, params)
}

// Reply answers a request of the app-server.
func (k *Client) Reply(request json.RawMessage, result any) error {
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("answering codex app-server: %w", err)
	}
	return k.send(message{ID: request, Result: text})
}

// Refuse answers a request of the app-server with an error.
func (k *Client) Refuse(request json.RawMessage, why string) error {
	const methodNotFound = -32601
	return k.send(message{ID: request, Error: &RPCError{Code: methodNotFound, Message: why}})
}

func (k *Client) request(id int64, method string, params any) error {
	text, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	return k.send(message{ID: json.RawMessage(strconv.FormatInt(id, 10)), Method: method, Params: text})
}

func (k *Client) send(m message) error {
	line, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	if err := k.process.WriteLine(line); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}

func (k *Client) forget(id int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pending, id)
}

// Gone is closed when the app-server says nothing more: it has ended or is about to.
func (k *Client) Gone() <-chan struct{} { return k.gone }

// Exit waits for the end of a process that is gone and says how it ended.
func (k *Client) Exit() subprocess.Exit {
	<-k.process.Done()
	return k.process.Exit()
}

// PID of the process.
func (k *Client) PID() int { return k.process.PID() }

// Close ends the process in order, and by force when ctx ends first.
func (k *Client) Close(ctx context.Context) {
	k.process.Stop(ctx)
	<-k.gone
}

// Kill ends the process at once.
func (k *Client) Kill() {
	k.process.Kill()
	<-k.gone
}

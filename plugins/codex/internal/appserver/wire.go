package appserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// RPCError is an error that the app-server answered a request with.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("codex app-server: %s (code %d)", e.Message, e.Code)
}

// codeOverloaded is answered when the queue of requests is full.
const codeOverloaded = -32001

// Overloaded says that the app-server's queue was full; the request had no effect.
func (e *RPCError) Overloaded() bool { return e.Code == codeOverloaded }

// codeInternal is answered when the app-server could not do what it was asked for.
const codeInternal = -32603

// Internal says that the app-server failed, and the request is not at fault.
func (e *RPCError) Internal() bool { return e.Code == codeInternal }

// Closing says that the thread was about to be unloaded, which goes on for a moment after
// thread/closed; the request had no effect.
func (e *RPCError) Closing() bool { return strings.Contains(e.Message, "is closing; retry") }

// message is any line in either direction.
type message struct {
	ID     json.RawMessage `json:"id,omitempty"`
	Method string          `json:"method,omitempty"`
	Params json.RawMessage `json:"params,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  *RPCError       `json:"error,omitempty"`
}

// Event is what happens in one thread: a notification, a request of the
// app-server, or something that its log told.
type Event struct {
	// Method of the notification or request; empty for Log.
	Method string
	// Request is the id of a request that waits for Client.Reply; nil otherwise.
	Request json.RawMessage
	// Params as sent.
	Params json.RawMessage
	// Log is set for what the log told.
	Log *LogRecord
}

// threadOf finds the thread that params are about; empty when about none.
func threadOf(params json.RawMessage) string {
	var p struct {
		ThreadID string `json:"threadId"`
	}
	if json.Unmarshal(params, &p) != nil {
		return ""
	}
	return p.ThreadID
}

// parseMessage reads one line of the app-server's stdout.
func parseMessage(line []byte) (message, error) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("reading a line of codex app-server: %w", err)
	}
	if bytes.Equal(m.ID, []byte("null")) {
		m.ID = nil
	}
	if m.ID == nil && m.Method == "" {
		return m, fmt.Errorf("reading a line of codex app-server: neither a message nor an answer")
	}
	return m, nil
}

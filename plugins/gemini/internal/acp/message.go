package acp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Message is one message about a session, as Inbox.Next returns it. It is one of
// a notification (Method, no ID), a request of the agent (Method and ID), which
// must be answered with Conn.Reply or Conn.Refuse, and the reply to Inbox.Send
// (no Method).
type Message struct {
	// Method of a notification or request.
	Method string
	// ID of a request, to answer it with.
	ID json.RawMessage
	// Params of a notification or request.
	Params json.RawMessage
	// Result of a reply that is no error.
	Result json.RawMessage
	// Err of a reply that is one.
	Err *Error
}

// IsReply says that the message answers Inbox.Send.
func (m Message) IsReply() bool { return m.Method == "" }

// Error is an error that the agent answered with.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Error is the agent's text, with the details that some agents put into data.
func (e *Error) Error() string {
	var data struct {
		Details string `json:"details"`
	}
	if json.Unmarshal(e.Data, &data) == nil && data.Details != "" {
		return e.Message + ": " + data.Details
	}
	return e.Message
}

// frame is any JSON-RPC message.
type frame struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *Error          `json:"error,omitempty"`
}

// errNoFrame is returned for lines that are no JSON-RPC message.
var errNoFrame = errors.New("no JSON-RPC message")

// parse reads one line of the agent. The result does not share memory with it.
func parse(line []byte) (frame, error) {
	var f frame
	if len(bytes.TrimSpace(line)) == 0 {
		return f, errNoFrame
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return f, fmt.Errorf("%w: %w", errNoFrame, err)
	}
	if bytes.Equal(f.ID, []byte("null")) {
		f.ID = nil
	}
	if f.Method == "" && f.ID == nil {
		return f, errNoFrame
	}
	return f, nil
}

// session finds which session a notification or request is about.
func (f frame) session() string {
	var p struct {
		SessionID string `json:"sessionId"`
	}
	_ = json.Unmarshal(f.Params, &p) // params of another shape are about no session
	return p.SessionID
}

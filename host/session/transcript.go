package session

import (
	"encoding/json"
	"fmt"

	"github.com/clinvk/clinvk/host/engine"
)

// Message of a transcript, as it is stored and shown.
type Message struct {
	// Role is "user" or "assistant".
	Role    string `json:"role"`
	Content []Part `json:"content"`
}

// Part of a message. Type says which members there are.
type Part struct {
	// Type is text, thinking, file, tool_call and tool_result (of the client's tools),
	// tool_use and tool_output (of the backend's own, which are not sent again).
	Type string `json:"type"`
	// Text of text and thinking.
	Text string `json:"text,omitempty"`
	// Signature of thinking; Redacted says that it holds all that there is.
	Signature []byte `json:"signature,omitempty"`
	Redacted  bool   `json:"redacted,omitempty"`
	// MediaType, Data and Name of a file.
	MediaType string `json:"media_type,omitempty"`
	Data      []byte `json:"data,omitempty"`
	// ID of a call, or of the call that a result belongs to; Name of a tool or a file.
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// Arguments is JSON text as the model wrote it.
	Arguments string `json:"arguments,omitempty"`
	// Content and IsError of a result.
	Content []Part `json:"content,omitempty"`
	IsError bool   `json:"is_error,omitempty"`
}

// Types of parts.
const (
	typeText       = "text"
	typeThinking   = "thinking"
	typeFile       = "file"
	typeToolCall   = "tool_call"
	typeToolResult = "tool_result"
	typeToolUse    = "tool_use"
	typeToolOutput = "tool_output"
)

const (
	roleUser      = "user"
	roleAssistant = "assistant"
)

// messagesOf is the transcript of messages.
func messagesOf(messages []engine.Message) []Message {
	out := make([]Message, len(messages))
	for i, m := range messages {
		out[i] = Message{Role: roleUser, Content: partsOf(m.Parts)}
		if m.Role == engine.RoleAssistant {
			out[i].Role = roleAssistant
		}
	}
	return out
}

func partsOf(parts []engine.Part) []Part {
	out := make([]Part, 0, len(parts))
	for _, p := range parts {
		switch v := p.(type) {
		case engine.Text:
			out = append(out, Part{Type: typeText, Text: string(v)})
		case engine.Reasoning:
			out = append(out, Part{Type: typeThinking, Text: v.Text, Signature: v.Signature, Redacted: v.Redacted})
		case engine.Blob:
			out = append(out, Part{Type: typeFile, MediaType: v.MediaType, Data: v.Data, Name: v.Name})
		case engine.ToolCall:
			out = append(out, Part{Type: typeToolCall, ID: v.ID, Name: v.Name, Arguments: v.Arguments})
		case engine.ToolResult:
			out = append(out, Part{Type: typeToolResult, ID: v.CallID, Name: v.Name, Content: partsOf(v.Parts), IsError: v.IsError})
		}
	}
	return out
}

// engineMessages is what messagesOf was made of.
func engineMessages(messages []Message) []engine.Message {
	out := make([]engine.Message, len(messages))
	for i, m := range messages {
		out[i] = engine.Message{Role: engine.RoleUser, Parts: engineParts(m.Content)}
		if m.Role == roleAssistant {
			out[i].Role = engine.RoleAssistant
		}
	}
	return out
}

// engineParts leaves out what the backend's own tools did: nobody sends that again.
func engineParts(parts []Part) []engine.Part {
	out := make([]engine.Part, 0, len(parts))
	for _, p := range parts {
		switch p.Type {
		case typeText:
			out = append(out, engine.Text(p.Text))
		case typeThinking:
			out = append(out, engine.Reasoning{Text: p.Text, Signature: p.Signature, Redacted: p.Redacted})
		case typeFile:
			out = append(out, engine.Blob{MediaType: p.MediaType, Data: p.Data, Name: p.Name})
		case typeToolCall:
			out = append(out, engine.ToolCall{ID: p.ID, Name: p.Name, Arguments: p.Arguments})
		case typeToolResult:
			out = append(out, engine.ToolResult{CallID: p.ID, Name: p.Name, Parts: engineParts(p.Content), IsError: p.IsError})
		}
	}
	return out
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	return b
}

func decode[T any](raw json.RawMessage) (out []T, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("reading a transcript: %w", err)
	}
	return out, nil
}

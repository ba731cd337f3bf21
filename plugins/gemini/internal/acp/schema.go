package acp

import (
	"encoding/json"
	"fmt"
)

// ProtocolVersion is the version that this package speaks.
const ProtocolVersion = 1

// Methods of the protocol.
const (
	MethodInitialize        = "initialize"
	MethodNewSession        = "session/new"
	MethodLoadSession       = "session/load"
	MethodPrompt            = "session/prompt"
	MethodCancel            = "session/cancel"
	MethodSetMode           = "session/set_mode"
	MethodSetModel          = "session/set_model"
	MethodUpdate            = "session/update"
	MethodRequestPermission = "session/request_permission"
)

// InitializeParams begin a connection. No abilities of the client are announced:
// files and terminals are the agent's own.
type InitializeParams struct {
	ProtocolVersion    int                `json:"protocolVersion"`
	ClientCapabilities ClientCapabilities `json:"clientCapabilities"`
}

// ClientCapabilities say what the agent may ask of the client.
type ClientCapabilities struct {
	FS       FSCapabilities `json:"fs"`
	Terminal bool           `json:"terminal"`
}

// FSCapabilities are those of the client's files.
type FSCapabilities struct {
	ReadTextFile  bool `json:"readTextFile"`
	WriteTextFile bool `json:"writeTextFile"`
}

// InitializeResult says who the agent is.
type InitializeResult struct {
	ProtocolVersion int `json:"protocolVersion"`
	AgentInfo       struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"agentInfo"`
}

// SessionParams open a session; SessionID only with session/load.
type SessionParams struct {
	SessionID  string            `json:"sessionId,omitempty"`
	Cwd        string            `json:"cwd"`
	MCPServers []json.RawMessage `json:"mcpServers"`
}

// SessionResult is the reply to session/new.
type SessionResult struct {
	SessionID string `json:"sessionId"`
}

// PromptParams begin a turn.
type PromptParams struct {
	SessionID string    `json:"sessionId"`
	Prompt    []Content `json:"prompt"`
}

// CancelParams end a turn early.
type CancelParams struct {
	SessionID string `json:"sessionId"`
}

// SetModeParams choose a mode of the session.
type SetModeParams struct {
	SessionID string `json:"sessionId"`
	ModeID    string `json:"modeId"`
}

// SetModelParams choose the session's model.
type SetModelParams struct {
	SessionID string `json:"sessionId"`
	ModelID   string `json:"modelId"`
}

// Content is a content block; only text is told apart.
type Content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Stop reasons of a turn.
const (
	StopEndTurn    = "end_turn"
	StopMaxTokens  = "max_tokens"
	StopMaxTurns   = "max_turn_requests"
	StopRefusal    = "refusal"
	StopCancelled  = "cancelled"
	UpdateUser     = "user_message_chunk"
	UpdateText     = "agent_message_chunk"
	UpdateThought  = "agent_thought_chunk"
	UpdateTool     = "tool_call"
	UpdateToolMore = "tool_call_update"
	UpdateCommands = "available_commands_update"
)

// PromptResult ends a turn.
type PromptResult struct {
	StopReason string `json:"stopReason"`
}

// Update is what a session/update tells. Content is a block or a list of items,
// as the kind has it.
type Update struct {
	Kind    string          `json:"sessionUpdate"`
	Content json.RawMessage `json:"content"`
	ToolCall
}

// ToolCall is a tool at work.
type ToolCall struct {
	ID     string `json:"toolCallId"`
	Title  string `json:"title"`
	Status string `json:"status"`
	Kind   string `json:"kind"`
}

// Permission is what a session/request_permission asks.
type Permission struct {
	Options []struct {
		ID   string `json:"optionId"`
		Kind string `json:"kind"`
	} `json:"options"`
	ToolCall ToolCall `json:"toolCall"`
}

// Option finds the first option of a kind, for example "allow_once".
func (p Permission) Option(kind string) (id string, ok bool) {
	for _, o := range p.Options {
		if o.Kind == kind {
			return o.ID, true
		}
	}
	return "", false
}

// PermissionReply answers a Permission.
type PermissionReply struct {
	Outcome PermissionOutcome `json:"outcome"`
}

// PermissionOutcome is the chosen option; with Outcome "cancelled" none.
type PermissionOutcome struct {
	Outcome  string `json:"outcome"`
	OptionID string `json:"optionId,omitempty"`
}

// Update decodes a session/update.
func (m Message) Update() (Update, error) {
	var p struct {
		Update Update `json:"update"`
	}
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return Update{}, fmt.Errorf("reading an update: %w", err)
	}
	return p.Update, nil
}

// Text is the text of a message or thought chunk.
func (u Update) Text() string {
	var c Content
	_ = json.Unmarshal(u.Content, &c) // other content has no text
	return c.Text
}

// ToolText is the text of a tool's content: its output, or the new text of a
// file that it changed.
func (u Update) ToolText() string {
	var items []struct {
		Type    string  `json:"type"`
		Content Content `json:"content"`
		Path    string  `json:"path"`
		NewText string  `json:"newText"`
	}
	_ = json.Unmarshal(u.Content, &items) // other content has no text
	var text string
	for _, i := range items {
		if i.Type == "diff" {
			text += i.Path + "\n" + i.NewText
			continue
		}
		text += i.Content.Text
	}
	return text
}

// Permission decodes a session/request_permission.
func (m Message) Permission() (Permission, error) {
	var p Permission
	if err := json.Unmarshal(m.Params, &p); err != nil {
		return Permission{}, fmt.Errorf("reading a question for permission: %w", err)
	}
	return p, nil
}

// Selected answers a Permission with one of its options.
func Selected(option string) PermissionReply {
	return PermissionReply{Outcome: PermissionOutcome{Outcome: "selected", OptionID: option}}
}

package wire

import "encoding/json"

// User is a message of the user.
type User struct {
	// ID must be fresh: a repeated one is dropped without a word.
	ID      string
	Content []any
	// History says that the message is not to be answered; the CLI acknowledges
	// it with a result of its own, and only then may an assistant line follow.
	History bool
	// Composed says that the text was not typed into the CLI: no slash commands,
	// no file references. Releases before 2.1.330 ignore it.
	Composed bool
}

// MarshalJSON writes the line.
func (u User) MarshalJSON() ([]byte, error) {
	line := map[string]any{
		"type": TypeUser, "uuid": u.ID, "session_id": "", "parent_tool_use_id": nil,
		"message": map[string]any{"role": "user", "content": u.Content},
	}
	if u.History {
		line["shouldQuery"] = false
	}
	if u.Composed {
		line["client_composed"] = true
	}
	return json.Marshal(line)
}

// Assistant is an earlier message of the model; it is appended at once and not
// acknowledged.
type Assistant struct {
	// ID of the message; must differ from that of any other one, or they merge.
	ID      string
	Model   string
	Content []any
}

// MarshalJSON writes the line.
func (a Assistant) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"type": TypeAssistant, "session_id": "", "parent_tool_use_id": nil,
		"message": map[string]any{
			"id": a.ID, "type": "message", "role": "assistant", "model": a.Model, "content": a.Content,
			"stop_reason": "end_turn", "stop_sequence": nil,
			"usage": map[string]any{"input_tokens": 0, "output_tokens": 0},
		},
	})
}

// Control is a request to the CLI itself.
type Control struct {
	ID string
	// Body with its "subtype", for example Initialize.
	Body any
}

// MarshalJSON writes the line.
func (c Control) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"type": TypeControlRequest, "request_id": c.ID, "request": c.Body})
}

// Initialize is the first control request; a second one is ignored. It has to
// come before the first message.
type Initialize struct {
	// System replaces the CLI's system prompt, nil keeps it.
	System []string `json:"systemPrompt,omitempty"`
	// Append is added to the CLI's own system prompt.
	Append string `json:"appendSystemPrompt,omitempty"`
	// Title keeps the CLI from asking the model for one.
	Title string `json:"title,omitempty"`
}

// MarshalJSON writes the request.
func (i Initialize) MarshalJSON() ([]byte, error) {
	type plain Initialize
	return json.Marshal(struct {
		Subtype string `json:"subtype"`
		plain
	}{"initialize", plain(i)})
}

// Settings change a running process.
type Settings struct {
	Model  string            `json:"model,omitempty"`
	Effort string            `json:"effortLevel,omitempty"`
	Env    map[string]string `json:"env,omitempty"`
}

// ApplySettings is the control request that applies s.
func ApplySettings(s Settings) any {
	return map[string]any{"subtype": "apply_flag_settings", "settings": s}
}

// ThinkingTokens is the control request that bounds the reasoning of models that
// take a bound; others ignore it.
func ThinkingTokens(n int64) any {
	return map[string]any{"subtype": "set_max_thinking_tokens", "max_thinking_tokens": n}
}

// Plain is a control request without arguments.
func Plain(subtype string) any { return map[string]any{"subtype": subtype} }

// Answer answers a ControlRequest.
type Answer struct {
	ID   string
	Body any
}

// MarshalJSON writes the line.
func (a Answer) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"type":     TypeControlResponse,
		"response": map[string]any{"subtype": "success", "request_id": a.ID, "response": a.Body},
	})
}

// Allow is the body of an Answer that lets a tool run with the given input.
func Allow(input json.RawMessage) any {
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	return map[string]any{"behavior": "allow", "updatedInput": input}
}

// Deny is the body of an Answer that forbids it; the model is told the reason.
func Deny(reason string) any {
	return map[string]any{"behavior": "deny", "message": reason}
}

// TextBlock is a content block of text.
func TextBlock(text string) any { return map[string]any{"type": "text", "text": text} }

// MediaBlock is an image or a document; data is encoded as base64.
func MediaBlock(kind, mediaType string, data []byte) any {
	return map[string]any{"type": kind, "source": map[string]any{"type": "base64", "media_type": mediaType, "data": data}}
}

// ThinkingBlock is earlier reasoning with its signature.
func ThinkingBlock(text, signature string) any {
	return map[string]any{"type": "thinking", "thinking": text, "signature": signature}
}

// RedactedThinkingBlock is earlier reasoning that the provider has hidden.
func RedactedThinkingBlock(data string) any {
	return map[string]any{"type": "redacted_thinking", "data": data}
}

// ToolUseBlock is an earlier call; arguments must be a JSON object.
func ToolUseBlock(id, name string, arguments json.RawMessage) any {
	return map[string]any{"type": "tool_use", "id": id, "name": name, "input": arguments}
}

// ToolResultBlock is the outcome of an earlier call.
func ToolResultBlock(id string, content []any, isError bool) any {
	b := map[string]any{"type": "tool_result", "tool_use_id": id, "content": content}
	if isError {
		b["is_error"] = true
	}
	return b
}

package anthropic

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// Message is one message that reached the API.
type Message struct {
	Role  string
	Parts []Part
}

// Part is one content block in a form that all fakes could share.
type Part struct {
	// Kind is the block's type: text, image, document, tool_use, tool_result,
	// thinking, redacted_thinking.
	Kind string
	// Text of the block; of a tool_result the text of its content, of a
	// tool_use its arguments as JSON, of an image or document its base64 data, of
	// hidden reasoning its data.
	Text string
	// ID of the call for tool_use and tool_result.
	ID string
	// Name of the tool, or the media type of an image.
	Name    string
	IsError bool
	// Content of a tool_result.
	Content []Part
	// Signature of thinking.
	Signature string
}

// Text is the message's text blocks put together.
func (m Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		if p.Kind == "text" {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// request is the part of a Messages request that the fake looks at.
type request struct {
	Model       string   `json:"model"`
	Stream      bool     `json:"stream"`
	MaxTokens   int      `json:"max_tokens"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int64   `json:"top_k"`
	Stop        []string `json:"stop_sequences"`
	Thinking    struct {
		Type string `json:"type"`
	} `json:"thinking"`
	System   json.RawMessage `json:"system"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
}

type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	ToolUseID string          `json:"tool_use_id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	Source    struct {
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	} `json:"source"`
}

func parse(body []byte) (request, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("parsing the request: %w", err)
	}
	if len(r.Messages) == 0 {
		return r, fmt.Errorf("parsing the request: no messages")
	}
	return r, nil
}

// refusal is what the API says to settings that it does not take; empty: it takes them.
func (r request) refusal() string {
	reasoning := r.Thinking.Type == "enabled" || r.Thinking.Type == "adaptive"
	switch {
	case slices.ContainsFunc(r.Stop, func(s string) bool { return strings.TrimSpace(s) == "" }):
		return "stop_sequences: each stop sequence must contain non-whitespace"
	case r.Temperature != nil && (*r.Temperature < 0 || *r.Temperature > 1):
		return "temperature: range: 0..1"
	case r.Temperature != nil && r.TopP != nil:
		return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
	case reasoning && r.Temperature != nil && *r.Temperature != 1:
		return "`temperature` may only be set to 1 when thinking is enabled. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking"
	case reasoning && r.TopK != nil:
		return "`top_k` must be unset when thinking is enabled."
	}
	return ""
}

// blocks reads content, which is a string or a list of blocks.
func blocks(raw json.RawMessage) []block {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []block{{Type: "text", Text: text}}
	}
	var list []block
	_ = json.Unmarshal(raw, &list) // neither: no blocks
	return list
}

func (b block) part() Part {
	p := Part{Kind: b.Type, Text: b.Text, ID: b.ID, Name: b.Name, IsError: b.IsError}
	switch b.Type {
	case "thinking":
		p.Text, p.Signature = b.Thinking, b.Signature
	case "redacted_thinking":
		p.Text = b.Data
	case "tool_use":
		p.Text = string(b.Input)
	case "tool_result":
		p.ID = b.ToolUseID
		for _, c := range blocks(b.Content) {
			p.Text += c.Text
			p.Content = append(p.Content, c.part())
		}
	case "image", "document":
		p.Text, p.Name = b.Source.Data, b.Source.MediaType
	}
	return p
}

// reminder is what the CLI puts into the conversation on its own account.
var reminder = regexp.MustCompile(`(?s)^\s*<system-reminder>.*</system-reminder>\s*$`)

// ownSystem matches the system blocks that the CLI cannot be kept from sending:
// they say which program it is.
var ownSystem = regexp.MustCompile(`^(x-anthropic-billing-header: .*|You are a Claude agent, built on Anthropic's Claude Agent SDK\.|You are Claude Code, Anthropic's official CLI for Claude.*)$`)

// Conversation is what reached the API, without what the CLI says on its own
// account; see Additions.
func Conversation(r *fakeapi.Request) (system string, messages []Message) {
	system, messages, _ = split(r)
	return system, messages
}

// Additions is what the CLI put into the conversation on its own account,
// besides the lines that say which program it is.
func Additions(r *fakeapi.Request) []string {
	_, _, additions := split(r)
	return additions
}

func split(r *fakeapi.Request) (system string, messages []Message, additions []string) {
	req, err := parse(r.Body)
	if err != nil {
		return "", nil, nil
	}
	var own []string
	for _, b := range blocks(req.System) {
		if b.Text != "" && !ownSystem.MatchString(b.Text) {
			own = append(own, b.Text)
		}
	}
	for _, m := range req.Messages {
		out := Message{Role: m.Role}
		for _, b := range blocks(m.Content) {
			if m.Role == "system" || (b.Type == "text" && reminder.MatchString(b.Text)) {
				additions = append(additions, b.Text)
				continue
			}
			out.Parts = append(out.Parts, b.part())
		}
		if len(out.Parts) > 0 {
			messages = append(messages, out)
		}
	}
	return strings.Join(own, "\n\n"), messages, additions
}

// prompt is the text of the last user message, or that of its tool results when
// there is nothing else.
func (r request) prompt() string {
	for i := len(r.Messages) - 1; i >= 0; i-- {
		if r.Messages[i].Role != "user" {
			continue
		}
		var text, results strings.Builder
		for _, c := range blocks(r.Messages[i].Content) {
			switch {
			case c.Type == "tool_result":
				results.WriteString(c.part().Text)
			case c.Type == "text" && !reminder.MatchString(c.Text):
				text.WriteString(c.Text)
			}
		}
		return cmp.Or(text.String(), results.String())
	}
	return ""
}

// sideCall says that the request does not answer the user: the CLI checks a
// model or asks for a title.
func (r request) sideCall() bool {
	if r.MaxTokens == 1 {
		return true
	}
	for _, b := range blocks(r.System) {
		if strings.Contains(b.Text, "sentence-case title") {
			return true
		}
	}
	return false
}

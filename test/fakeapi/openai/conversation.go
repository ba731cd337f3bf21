package openai

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// Message is one item of the input that reached the API.
type Message struct {
	// Role is user, assistant or developer for messages; for other items it is
	// assistant when the model made them and tool for the output of a tool.
	Role  string
	Parts []Part
}

// Part is one piece of content.
type Part struct {
	// Kind is text, image, tool_use, tool_result, thinking, or the item's type.
	Kind string
	// Text of the piece; of an image its base64 data, of a tool_use its
	// arguments, of thinking its encrypted content.
	Text string
	// ID of the call for tool_use and tool_result.
	ID string
	// Name of the tool, or the media type of an image.
	Name string
	// Content of a tool_result.
	Content []Part
}

// Text is the message's text put together.
func (m Message) Text() string {
	var b strings.Builder
	for _, p := range m.Parts {
		if p.Kind == "text" {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

// request is the part of a Responses request that the fake looks at.
type request struct {
	Type       string            `json:"type"`
	Model      string            `json:"model"`
	Generate   *bool             `json:"generate"`
	PreviousID string            `json:"previous_response_id"`
	Input      []json.RawMessage `json:"input"`
	Tools      []json.RawMessage `json:"tools"`

	remember func(id string, output []any)
}

type item struct {
	Type      string          `json:"type"`
	Role      string          `json:"role"`
	Content   json.RawMessage `json:"content"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Input     string          `json:"input"`
	Output    json.RawMessage `json:"output"`
	Encrypted string          `json:"encrypted_content"`
}

type content struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	ImageURL string `json:"image_url"`
}

func parse(body []byte) (request, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("parsing the request: %w", err)
	}
	if r.Model == "" {
		return r, fmt.Errorf("parsing the request: no model")
	}
	return r, nil
}

// prewarm says that the request opens a connection and wants no answer.
func (r *request) prewarm() bool { return r.Generate != nil && !*r.Generate }

// complete puts what an earlier response knows before the input and returns the
// body with the whole input; the number of items that were really sent is added
// as fake_sent_items.
func (r *request) complete(body []byte, known map[string][]json.RawMessage) (json.RawMessage, error) {
	sent := len(r.Input)
	if r.PreviousID != "" {
		before, ok := known[r.PreviousID]
		if !ok {
			return body, fmt.Errorf("previous response %q is not known", r.PreviousID)
		}
		r.Input = append(before[:len(before):len(before)], r.Input...)
	}
	input := r.Input
	r.remember = func(id string, output []any) {
		all := input[:len(input):len(input)]
		for _, o := range output {
			if text, err := json.Marshal(o); err == nil {
				all = append(all, text)
			}
		}
		known[id] = all
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		return body, fmt.Errorf("parsing the request: %w", err)
	}
	fields["input"], fields["fake_sent_items"] = input, sent
	return json.Marshal(fields)
}

// SentItems is how many items of the input r really carried: over WebSocket the
// rest was referred to by previous_response_id.
func SentItems(r *fakeapi.Request) int {
	var fields struct {
		Sent  *int              `json:"fake_sent_items"`
		Input []json.RawMessage `json:"input"`
	}
	if json.Unmarshal(r.Body, &fields) != nil {
		return 0
	}
	if fields.Sent != nil {
		return *fields.Sent
	}
	return len(fields.Input)
}

// Conversation is what reached the API: the developer messages before the first
// other one are the system prompt.
func Conversation(r *fakeapi.Request) (system string, messages []Message) {
	req, err := parse(r.Body)
	if err != nil {
		return "", nil
	}
	var lead []string
	for _, m := range req.messages() {
		if m.Role == "developer" && len(messages) == 0 {
			lead = append(lead, m.Text())
			continue
		}
		messages = append(messages, m)
	}
	return strings.Join(lead, "\n\n"), messages
}

// Tools are the names of the tools that the request offers.
func Tools(r *fakeapi.Request) []string {
	req, err := parse(r.Body)
	if err != nil {
		return nil
	}
	var names []string
	for _, raw := range req.Tools {
		var t struct{ Type, Name string }
		if json.Unmarshal(raw, &t) == nil {
			names = append(names, t.Type+":"+t.Name)
		}
	}
	return names
}

// tool is an offered tool, or a namespace of tools.
type tool struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Tools []tool `json:"tools"`
}

// namespace is that of an offered tool; empty: it has none.
func (r *request) namespace(name string) string {
	offered := make([]tool, 0, len(r.Tools))
	for _, raw := range r.Tools {
		var t tool
		if json.Unmarshal(raw, &t) == nil {
			offered = append(offered, t)
		}
	}
	for _, raw := range r.Input {
		var more struct {
			Type  string `json:"type"`
			Tools []tool `json:"tools"`
		}
		if json.Unmarshal(raw, &more) == nil && more.Type == "additional_tools" {
			offered = append(offered, more.Tools...)
		}
	}
	for _, t := range offered {
		if t.Type == "namespace" && slices.ContainsFunc(t.Tools, func(in tool) bool { return in.Name == name }) {
			return t.Name
		}
	}
	return ""
}

func (r *request) messages() []Message {
	var out []Message
	for _, raw := range r.Input {
		var it item
		if json.Unmarshal(raw, &it) == nil {
			out = append(out, it.message())
		}
	}
	return out
}

func (it item) message() Message {
	switch it.Type {
	case "message", "":
		return Message{Role: it.Role, Parts: parts(it.Content)}
	case "function_call", "custom_tool_call":
		return Message{Role: "assistant", Parts: []Part{{Kind: "tool_use", ID: it.CallID, Name: it.Name, Text: it.Arguments + it.Input}}}
	case "function_call_output", "custom_tool_call_output":
		p := Part{Kind: "tool_result", ID: it.CallID}
		for _, c := range parts(it.Output) {
			if c.Kind == "text" {
				p.Text += c.Text
			}
			p.Content = append(p.Content, c)
		}
		return Message{Role: "tool", Parts: []Part{p}}
	case "reasoning":
		return Message{Role: "assistant", Parts: []Part{{Kind: "thinking", Text: it.Encrypted}}}
	}
	return Message{Role: it.Role, Parts: []Part{{Kind: it.Type}}}
}

// parts reads content, which is a string or a list.
func parts(raw json.RawMessage) []Part {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []Part{{Kind: "text", Text: text}}
	}
	var list []content
	_ = json.Unmarshal(raw, &list) // neither: no parts
	var out []Part
	for _, c := range list {
		if c.Type == "input_image" {
			kind, data, _ := strings.Cut(strings.TrimPrefix(c.ImageURL, "data:"), ";base64,")
			out = append(out, Part{Kind: "image", Name: kind, Text: data})
			continue
		}
		out = append(out, Part{Kind: "text", Text: c.Text})
	}
	return out
}

// prompt is the text of the last user message, or that of the tool results after it
// when these hold a script.
func (r *request) prompt() string {
	messages := r.messages()
	if results := resultsAtEnd(messages); fakeapi.HasScript(results) {
		return results
	}
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == "user" {
			return messages[i].Text()
		}
	}
	return ""
}

// answersTool says that the last message is the output of a tool, and that no output
// asks for more.
func (r *request) answersTool() bool {
	messages := r.messages()
	return len(messages) > 0 && messages[len(messages)-1].Role == "tool" && !fakeapi.HasScript(resultsAtEnd(messages))
}

// resultsAtEnd is the text of the outputs of tools that come last.
func resultsAtEnd(messages []Message) (text string) {
	for i := len(messages) - 1; i >= 0 && messages[i].Role == "tool"; i-- {
		for _, p := range messages[i].Parts {
			text = p.Text + text
		}
	}
	return text
}

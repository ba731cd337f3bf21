//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// part is one piece of content in neutral form: as a client sends it, as an answer
// has it, and as it reaches an upstream.
type part struct {
	// Kind is text, thinking, redacted, call, result, image or document.
	Kind string
	// Text; of a call its arguments, of redacted thinking its data.
	Text string
	// ID of the call, for a call and its result.
	ID string
	// Name of the tool.
	Name string
	// Media type and base64 data of an image or a document.
	Media, Data string
	Signature   string
	IsError     bool
	// Parts of a result.
	Parts []part
}

// turn is one message of several parts.
type turn struct {
	Role  string
	Parts []part
}

// tool is one of the client's tools; Schema is JSON.
type tool struct{ Name, Description, Schema string }

func text(s string) part { return part{Kind: "text", Text: s} }

func call(id, name, arguments string) part {
	return part{Kind: "call", ID: id, Name: name, Text: arguments}
}

func result(id string, parts ...part) part { return part{Kind: "result", ID: id, Parts: parts} }

func user(parts ...part) turn { return turn{"user", parts} }

func assistant(parts ...part) turn { return turn{"assistant", parts} }

// content is what the request says, whichever way it was given.
func (a ask) content() []turn {
	if a.turns != nil {
		return a.turns
	}
	turns := make([]turn, 0, len(a.history))
	for _, m := range a.history {
		turns = append(turns, turn{m.Role, []part{text(m.Text)}})
	}
	return turns
}

// canonical is JSON text with sorted members and no space; numbers stay as they are.
func canonical(text string) string {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "no JSON: " + text
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "no JSON: " + text
	}
	return strings.TrimSpace(out.String())
}

// scripted is what makes the fakes call the tools of calls, as one directive.
func scripted(calls ...part) string {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, " tool=%s args=%s", c.Name, base64Text(c.Text))
	}
	return "[[" + strings.TrimSpace(b.String()) + "]]"
}

// add appends text to the last part, or begins one of this kind.
func (r *reply) add(kind, text string) {
	if text == "" {
		return
	}
	if n := len(r.parts); n > 0 && r.parts[n-1].Kind == kind {
		r.parts[n-1].Text += text
		return
	}
	r.begins(part{Kind: kind, Text: text})
}

func (r *reply) begins(p part) {
	r.parts = append(r.parts, p)
	if r.onPart != nil {
		r.onPart(p.Kind)
	}
}

// start, grow and stop take the events of a block; blocks must not overlap and are
// numbered from 0.
func (r *reply) start(index int, p part) error {
	if r.open || index != len(r.parts) {
		return fmt.Errorf("block %d starts after %d blocks, the last one open: %v", index, len(r.parts), r.open)
	}
	if p.Kind == "call" && p.Text != "{}" {
		return fmt.Errorf("a call starts with the input %s", p.Text)
	}
	if p.Kind == "call" {
		p.Text = ""
	}
	r.open = true
	r.begins(p)
	return nil
}

func (r *reply) grow(index int, p part) error {
	if !r.open || index != len(r.parts)-1 {
		return fmt.Errorf("a delta for block %d, which is not open", index)
	}
	last := &r.parts[index]
	last.Text += p.Text
	last.Signature += p.Signature
	return nil
}

func (r *reply) stop(index int) error {
	if !r.open || index != len(r.parts)-1 {
		return fmt.Errorf("block %d stops, which is not open", index)
	}
	r.open = false
	if last := &r.parts[index]; last.Kind == "call" && last.Text == "" {
		last.Text = "{}"
	}
	return nil
}

// of returns the answer's parts of one kind.
func (r *reply) of(kind string) (out []part) {
	for _, p := range r.parts {
		if p.Kind == kind {
			out = append(out, p)
		}
	}
	return out
}

// openaiCall is a call in an answer, or a fragment of one.
type openaiCall struct {
	Index    int    `json:"index"`
	ID       string `json:"id"`
	Type     string `json:"type"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
}

func (c openaiCall) take(r *reply, fragment bool) error {
	calls := r.of("call")
	if !fragment || c.Index == len(calls) {
		if c.ID == "" || c.Type != "function" || c.Function.Name == "" || fragment && c.Function.Arguments != "" {
			return fmt.Errorf("a call that begins as %+v", c)
		}
		r.begins(call(c.ID, c.Function.Name, c.Function.Arguments))
		return nil
	}
	if c.Index > len(calls) || c.ID != "" || c.Function.Name != "" {
		return fmt.Errorf("a fragment %+v after %d calls", c, len(calls))
	}
	r.parts[len(r.parts)-len(calls)+c.Index].Text += c.Function.Arguments
	return nil
}

// anthropicBlock is a content block of an answer.
type anthropicBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
}

func (b anthropicBlock) part() part {
	switch b.Type {
	case "thinking":
		return part{Kind: "thinking", Text: b.Thinking, Signature: b.Signature}
	case "redacted_thinking":
		return part{Kind: "redacted", Text: b.Data}
	case "tool_use":
		return call(b.ID, b.Name, string(b.Input))
	}
	return part{Kind: b.Type, Text: b.Text}
}

// openaiMessages are the messages of one turn: results have messages of their own.
func openaiMessages(t turn) (out []map[string]any) {
	var content []part
	message := map[string]any{"role": t.Role}
	for _, p := range t.Parts {
		switch p.Kind {
		case "result":
			out = append(out, map[string]any{"role": "tool", "tool_call_id": p.ID, "content": openaiParts(p.Parts)})
		case "call":
			calls, _ := message["tool_calls"].([]any)
			message["tool_calls"] = append(calls, map[string]any{
				"id": p.ID, "type": "function", "function": map[string]any{"name": p.Name, "arguments": p.Text},
			})
		case "thinking":
			message["reasoning_content"] = p.Text
		case "redacted": // has no word here
		default:
			content = append(content, p)
		}
	}
	if content == nil && message["tool_calls"] == nil {
		return out
	}
	message["content"] = nil
	if content != nil {
		message["content"] = openaiParts(content)
	}
	return append(out, message)
}

// openaiParts is a string where it can be.
func openaiParts(parts []part) any {
	if len(parts) == 1 && parts[0].Kind == "text" {
		return parts[0].Text
	}
	out := []any{}
	for _, p := range parts {
		switch p.Kind {
		case "image":
			out = append(out, map[string]any{"type": "image_url", "image_url": map[string]any{"url": p.url()}})
		case "document":
			out = append(out, map[string]any{"type": "file", "file": map[string]any{"filename": "file.pdf", "file_data": p.url()}})
		default:
			out = append(out, map[string]any{"type": "text", "text": p.Text})
		}
	}
	return out
}

// url is the data URL of media; Data that is an address stays one.
func (p part) url() string {
	if strings.HasPrefix(p.Data, "http") {
		return p.Data
	}
	return "data:" + p.Media + ";base64," + p.Data
}

func openaiTools(b map[string]any, a ask) {
	var tools []any
	for _, t := range a.tools {
		tools = append(tools, map[string]any{"type": "function", "function": map[string]any{
			"name": t.Name, "description": t.Description, "parameters": json.RawMessage(t.Schema),
		}})
	}
	if tools != nil {
		b["tools"] = tools
	}
	switch a.choice {
	case "":
	case "auto", "none", "required":
		b["tool_choice"] = a.choice
	default:
		b["tool_choice"] = map[string]any{"type": "function", "function": map[string]any{"name": a.choice}}
	}
	switch a.schema {
	case "":
	case "object":
		b["response_format"] = map[string]any{"type": "json_object"}
	default:
		b["response_format"] = map[string]any{"type": "json_schema", "json_schema": map[string]any{
			"name": "answer", "strict": true, "schema": json.RawMessage(a.schema),
		}}
	}
}

func anthropicMessage(t turn) map[string]any {
	if len(t.Parts) == 1 && t.Parts[0].Kind == "text" {
		return map[string]any{"role": t.Role, "content": t.Parts[0].Text}
	}
	return map[string]any{"role": t.Role, "content": anthropicBlocks(t.Parts)}
}

func anthropicBlocks(parts []part) []any {
	out := []any{}
	for _, p := range parts {
		b := map[string]any{"type": p.Kind}
		switch p.Kind {
		case "text":
			b["text"] = p.Text
		case "thinking":
			b["thinking"], b["signature"] = p.Text, p.Signature
		case "redacted":
			b["type"], b["data"] = "redacted_thinking", p.Text
		case "call":
			b["type"], b["id"], b["name"], b["input"] = "tool_use", p.ID, p.Name, json.RawMessage(p.Text)
		case "result":
			b["type"], b["tool_use_id"], b["content"] = "tool_result", p.ID, anthropicBlocks(p.Parts)
			if p.IsError {
				b["is_error"] = true
			}
		case "image", "document":
			b["source"] = map[string]any{"type": "base64", "media_type": p.Media, "data": p.Data}
			if strings.HasPrefix(p.Data, "http") {
				b["source"] = map[string]any{"type": "url", "url": p.Data}
			}
		}
		out = append(out, b)
	}
	return out
}

func anthropicTools(b map[string]any, a ask) {
	var tools []any
	for _, t := range a.tools {
		tools = append(tools, map[string]any{"name": t.Name, "description": t.Description, "input_schema": json.RawMessage(t.Schema)})
	}
	if tools != nil {
		b["tools"] = tools
	}
	switch a.choice {
	case "":
	case "auto", "none":
		b["tool_choice"] = map[string]any{"type": a.choice}
	case "required":
		b["tool_choice"] = map[string]any{"type": "any"}
	default:
		b["tool_choice"] = map[string]any{"type": "tool", "name": a.choice}
	}
	if a.schema != "" {
		b["output_config"] = map[string]any{"format": map[string]any{"type": "json_schema", "schema": json.RawMessage(a.schema)}}
	}
}

// base64Text is how a script holds any text.
func base64Text(s string) string { return "b64:" + base64.StdEncoding.EncodeToString([]byte(s)) }

package responses

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// conversation is the history in the making; the rules are those of chat completions:
// system and developer messages at the beginning become the system prompt, later ones
// stay where they are, marked with <system>. Items of one author that follow each
// other are one message.
type conversation struct {
	q        *request
	system   []string
	messages []engine.Message
	calls    map[string]string // id to name, for results
	// lookup finds the item that a reference names.
	lookup func(id string) (json.RawMessage, error)
}

// converse reads the conversation: arrays of items of earlier responses, the oldest
// first, and the request's own input.
func (q *request) converse(past []json.RawMessage, lookup func(id string) (json.RawMessage, error)) error {
	c := &conversation{q: q, calls: map[string]string{}, lookup: lookup}
	text, err := q.instructions.OptionalString()
	if err != nil {
		return err
	}
	if text != "" {
		c.system = append(c.system, text)
	}
	for _, items := range past {
		v, err := parseArray(items)
		if err != nil {
			return err
		}
		if err := c.items(v); err != nil {
			return fmt.Errorf("reading a kept response: %w", err)
		}
	}
	switch {
	case q.input.IsNull():
	case q.input.IsString():
		s, err := q.input.String()
		if err != nil {
			return err
		}
		c.add(engine.RoleUser, engine.Text(s))
	case q.input.IsArray():
		if err := c.items(q.input); err != nil {
			return err
		}
	default:
		return q.input.Errorf("must be a string or an array of items")
	}
	if last := len(c.system) - 1; len(c.messages) == 0 && last >= 0 {
		c.add(engine.RoleUser, engine.Text(c.system[last]))
		c.system = c.system[:last]
	}
	if len(c.messages) == 0 {
		return q.input.Errorf("must have at least one item with content")
	}
	q.turn.System, q.turn.Messages = strings.Join(c.system, "\n\n"), c.messages
	return nil
}

// parseArray makes a value of an array that is no body.
func parseArray(items json.RawMessage) (wire.Value, error) {
	v, err := wire.Parse(slices.Concat([]byte(`{"input":`), items, []byte{'}'}))
	if err != nil {
		return wire.Value{}, err
	}
	o, err := v.Object()
	return o.Get("input"), err
}

// add appends parts; those of the author of the last message join it.
func (c *conversation) add(role engine.Role, parts ...engine.Part) {
	if len(parts) == 0 {
		return
	}
	if n := len(c.messages); n > 0 && c.messages[n-1].Role == role && (role == engine.RoleAssistant || results(c.messages[n-1]) && isResult(parts[0])) {
		c.messages[n-1].Parts = append(c.messages[n-1].Parts, parts...)
		return
	}
	c.messages = append(c.messages, engine.Message{Role: role, Parts: parts})
}

// results says that a message holds results only.
func results(m engine.Message) bool { return isResult(m.Parts[0]) }

func isResult(p engine.Part) bool {
	_, ok := p.(engine.ToolResult)
	return ok
}

func (c *conversation) items(v wire.Value) error {
	for _, e := range v.Elements() {
		if err := c.item(e, true); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) item(v wire.Value, references bool) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	kind, err := o.Get("type").OptionalString()
	if err != nil {
		return err
	}
	if kind == "" {
		if kind = "message"; o.Get("role").IsNull() && !o.Get("id").IsNull() {
			kind = "item_reference"
		}
	}
	switch kind {
	case "message":
		return c.message(o)
	case "function_call", "custom_tool_call":
		return c.call(o, kind == "custom_tool_call")
	case "function_call_output", "custom_tool_call_output":
		return c.result(o)
	case "reasoning":
		return c.reasoning(o)
	case "additional_tools":
		return c.q.addTools(o.Get("tools"), "", true)
	case "item_reference":
		if references {
			return c.reference(o)
		}
	}
	if name := "input." + kind; hosted[kind] {
		if !slices.Contains(c.q.ignored, name) {
			c.q.ignored = append(c.q.ignored, name)
		}
		return nil
	}
	return o.Get("type").Unknown("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output", "reasoning", "item_reference")
}

// hosted are items of tools that OpenAI carries out. What they led to is in the
// messages after them.
var hosted = map[string]bool{
	"web_search_call": true, "file_search_call": true, "code_interpreter_call": true, "image_generation_call": true,
	"mcp_list_tools": true, "mcp_call": true, "mcp_approval_request": true, "mcp_approval_response": true,
	"tool_search_call": true, "tool_search_output": true,
}

func (c *conversation) reference(o wire.Object) error {
	id, err := o.Get("id").NonEmpty()
	if err != nil {
		return err
	}
	if c.lookup == nil {
		return o.Get("id").Errorf("refers to the item %q, which is not kept here", id)
	}
	item, err := c.lookup(id)
	if err != nil {
		return err
	}
	if item == nil {
		return o.Get("id").Errorf("refers to the item %q, which is not kept here", id)
	}
	v, err := wire.Parse(item)
	if err != nil {
		return err
	}
	return c.item(v, false)
}

func (c *conversation) message(o wire.Object) error {
	role, err := o.Get("role").String()
	if err != nil {
		return err
	}
	switch role {
	case "system", "developer":
		parts, err := openai.DecodeParts(o.Get("content"), textPart)
		if err != nil {
			return err
		}
		text := joined(parts)
		if len(c.messages) == 0 {
			c.system = append(c.system, text)
		} else {
			c.add(engine.RoleUser, engine.Text("<system>\n"+text+"\n</system>"))
		}
		return nil
	case "user":
		parts, err := openai.DecodeParts(o.Get("content"), userPart)
		if err != nil {
			return err
		}
		c.add(engine.RoleUser, parts...)
		return nil
	case "assistant":
		if v := o.Get("content"); v.IsArray() && v.Length() == 0 {
			return nil
		}
		parts, err := openai.DecodeParts(o.Get("content"), assistantPart)
		if err != nil {
			return err
		}
		c.add(engine.RoleAssistant, slices.DeleteFunc(parts, func(p engine.Part) bool { return p == engine.Text("") })...)
		return nil
	}
	return o.Get("role").Unknown("system", "developer", "user", "assistant")
}

func joined(parts []engine.Part) string {
	var b strings.Builder
	for _, p := range parts {
		if t, ok := p.(engine.Text); ok {
			b.WriteString(string(t))
		}
	}
	return b.String()
}

func (c *conversation) call(o wire.Object, custom bool) error {
	id, err := o.Get("call_id").NonEmpty()
	if err != nil {
		return err
	}
	name, err := o.Get("name").NonEmpty()
	if err != nil {
		return err
	}
	namespace, err := o.Get("namespace").OptionalString()
	if err != nil {
		return err
	}
	field := "arguments"
	if custom {
		field = "input"
	}
	arguments, err := o.Get(field).OptionalString()
	if err != nil {
		return err
	}
	if custom {
		arguments = string(append(wire.AppendString([]byte(`{"input":`), arguments), '}'))
	}
	call := engine.ToolCall{ID: id, Name: qualified(namespace, name), Arguments: arguments}
	c.calls[id] = call.Name
	c.add(engine.RoleAssistant, call)
	return nil
}

func (c *conversation) result(o wire.Object) error {
	id, err := o.Get("call_id").NonEmpty()
	if err != nil {
		return err
	}
	output := o.Get("output")
	var parts []engine.Part
	if !output.IsArray() || output.Length() > 0 {
		if parts, err = openai.DecodeParts(output, userPart); err != nil {
			return err
		}
	}
	c.add(engine.RoleUser, engine.ToolResult{CallID: id, Name: c.calls[id], Parts: parts})
	return nil
}

// reasoning carries what was given out by us; without its signature no provider takes
// reasoning back.
func (c *conversation) reasoning(o wire.Object) error {
	sealed, err := o.Get("encrypted_content").OptionalString()
	if err != nil {
		return err
	}
	signature, redacted, ok := unseal(sealed)
	if !ok {
		return nil
	}
	var text strings.Builder
	for _, e := range o.Get("summary").Elements() {
		part, err := e.Object()
		if err != nil {
			return err
		}
		s, err := part.Get("text").OptionalString()
		if err != nil {
			return err
		}
		text.WriteString(s)
	}
	c.add(engine.RoleAssistant, engine.Reasoning{Text: text.String(), Signature: signature, Redacted: redacted})
	return nil
}

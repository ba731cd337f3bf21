package openai

import (
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// conversation is the history in the making.
//
// System and developer messages at the beginning become the system prompt, joined by
// an empty line. Backends have no place for later ones, so these stay where they are
// as messages of the user, marked with <system>. When there is nothing but system
// messages, the last one is what to answer.
type conversation struct {
	system   []string
	messages []engine.Message
	calls    map[string]string // id to name, for results
	legacy   string            // id of the last call in the old form
	results  bool              // the last message holds results only
}

func decodeMessages(v wire.Value) (system string, messages []engine.Message, err error) {
	elements, err := v.Array()
	if err != nil {
		return "", nil, err
	}
	c := conversation{calls: map[string]string{}}
	for i, e := range elements {
		if err := c.message(i, e); err != nil {
			return "", nil, err
		}
	}
	if len(c.messages) == 0 && len(c.system) > 0 {
		last := len(c.system) - 1
		c.add(engine.RoleUser, engine.Text(c.system[last]))
		c.system = c.system[:last]
	}
	if len(c.messages) == 0 {
		return "", nil, v.Errorf("must have at least one message with content")
	}
	return strings.Join(c.system, "\n\n"), c.messages, nil
}

func (c *conversation) add(role engine.Role, parts ...engine.Part) {
	c.results = false
	c.messages = append(c.messages, engine.Message{Role: role, Parts: parts})
}

func (c *conversation) message(i int, v wire.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	role, err := o.Get("role").String()
	if err != nil {
		return err
	}
	if _, err := o.Get("name").OptionalString(); err != nil { // backends have no place for it
		return err
	}
	content := o.Get("content")
	switch role {
	case "system", "developer":
		text, err := textOf(content)
		if err != nil {
			return err
		}
		if len(c.messages) == 0 {
			c.system = append(c.system, text)
			return nil
		}
		c.add(engine.RoleUser, engine.Text("<system>\n"+text+"\n</system>"))
		return nil
	case "user":
		parts, err := userParts(content)
		if err != nil {
			return err
		}
		c.add(engine.RoleUser, parts...)
		return nil
	case "assistant":
		return c.assistant(i, o)
	case "tool":
		id, err := o.Get("tool_call_id").NonEmpty()
		if err != nil {
			return err
		}
		return c.result(id, c.calls[id], content)
	case "function":
		name, err := o.Get("name").NonEmpty()
		if err != nil {
			return err
		}
		return c.result(c.legacy, name, content)
	}
	return o.Get("role").Unknown("system", "developer", "user", "assistant", "tool", "function")
}

// assistant is an earlier answer. Reasoning that clients give back is left out: it
// has no signature here, so that no provider would take it.
func (c *conversation) assistant(i int, o wire.Object) error {
	if audio := o.Get("audio"); !audio.IsNull() {
		return audio.Errorf("is not supported: there is no earlier audio here; send what was said as content")
	}
	parts, err := assistantParts(o)
	if err != nil {
		return err
	}
	if calls := o.Get("tool_calls"); !calls.IsNull() {
		elements, err := calls.Array()
		if err != nil {
			return err
		}
		for _, e := range elements {
			call, err := decodeCall(e)
			if err != nil {
				return err
			}
			c.calls[call.ID] = call.Name
			parts = append(parts, call)
		}
	}
	if v := o.Get("function_call"); !v.IsNull() {
		f, err := v.Object()
		if err != nil {
			return err
		}
		call, err := decodeFunction(f)
		if err != nil {
			return err
		}
		call.ID = fmt.Sprintf("call_function_%d", i)
		c.legacy = call.ID
		parts = append(parts, call)
	}
	if len(parts) > 0 {
		c.add(engine.RoleAssistant, parts...)
	}
	return nil
}

func decodeCall(v wire.Value) (engine.ToolCall, error) {
	o, err := v.Object()
	if err != nil {
		return engine.ToolCall{}, err
	}
	if kind := o.Get("type"); !kind.IsNull() {
		if s, err := kind.String(); err != nil {
			return engine.ToolCall{}, err
		} else if s != "function" {
			return engine.ToolCall{}, kind.Unknown("function")
		}
	}
	id, err := o.Get("id").NonEmpty()
	if err != nil {
		return engine.ToolCall{}, err
	}
	f, err := o.Get("function").Object()
	if err != nil {
		return engine.ToolCall{}, err
	}
	call, err := decodeFunction(f)
	call.ID = id
	return call, err
}

func decodeFunction(o wire.Object) (call engine.ToolCall, err error) {
	if call.Name, err = o.Get("name").NonEmpty(); err != nil {
		return call, err
	}
	call.Arguments, err = o.Get("arguments").OptionalString()
	return call, err
}

// result adds the result of a call. Results that follow each other are one message:
// they answer the calls of one message.
func (c *conversation) result(id, name string, content wire.Value) error {
	parts, err := resultParts(content)
	if err != nil {
		return err
	}
	r := engine.ToolResult{CallID: id, Name: name, Parts: parts}
	if c.results {
		last := &c.messages[len(c.messages)-1]
		last.Parts = append(last.Parts, r)
		return nil
	}
	c.add(engine.RoleUser, r)
	c.results = true
	return nil
}

package anthropic

import (
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// conversation is the history in the making.
//
// The system text and messages of the system at the beginning become the system
// prompt, joined by an empty line. Backends have no place for later ones, so these
// stay where they are as messages of the user, marked with <system>.
type conversation struct {
	system   []string
	messages []engine.Message
	calls    map[string]string // id to name, for results
}

func decodeConversation(system, messages wire.Value) (string, []engine.Message, error) {
	c := conversation{calls: map[string]string{}}
	if !system.IsNull() {
		text, err := c.text(system)
		if err != nil {
			return "", nil, err
		}
		if text != "" {
			c.system = append(c.system, text)
		}
	}
	elements, err := messages.Array()
	if err != nil {
		return "", nil, err
	}
	for _, e := range elements {
		if err := c.message(e); err != nil {
			return "", nil, err
		}
	}
	if len(c.messages) == 0 {
		return "", nil, messages.Errorf("must have at least one message of the user")
	}
	return strings.Join(c.system, "\n\n"), c.messages, nil
}

// text reads a string or an array of blocks of text, joined by an empty line.
func (c *conversation) text(v wire.Value) (string, error) {
	blocks, err := c.content(v, onlyText)
	if err != nil {
		return "", err
	}
	var texts []string
	for _, b := range blocks {
		if t, ok := b.(engine.Text); ok {
			texts = append(texts, string(t))
		}
	}
	return strings.Join(texts, "\n\n"), nil
}

func (c *conversation) message(v wire.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	role, err := o.Get("role").String()
	if err != nil {
		return err
	}
	content := o.Get("content")
	switch role {
	case "user":
		return c.add(engine.RoleUser, content, ofUser)
	case "assistant":
		return c.add(engine.RoleAssistant, content, ofAssistant)
	case "system":
		text, err := c.text(content)
		if err != nil {
			return err
		}
		if len(c.messages) == 0 {
			c.system = append(c.system, text)
			return nil
		}
		c.messages = append(c.messages, engine.Message{
			Role: engine.RoleUser, Parts: []engine.Part{engine.Text("<system>\n" + text + "\n</system>")},
		})
		return nil
	}
	return o.Get("role").Unknown("user", "assistant", "system")
}

// add appends a message; one without content, which is an empty earlier answer, says
// nothing and is left out.
func (c *conversation) add(role engine.Role, content wire.Value, allowed blocks) error {
	parts, err := c.content(content, allowed)
	if err != nil {
		return err
	}
	if len(parts) > 0 {
		c.messages = append(c.messages, engine.Message{Role: role, Parts: parts})
	}
	return nil
}

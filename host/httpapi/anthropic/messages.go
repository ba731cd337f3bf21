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
	// fleeting are the indices of messages of the system that the next message of the
	// user makes go away.
	fleeting []int
	note     func(name string) // notes what is ignored
}

func (q *messagesRequest) decodeConversation(system, messages wire.Value) error {
	c := conversation{calls: map[string]string{}, note: q.note}
	if !system.IsNull() {
		text, err := c.text(system)
		if err != nil {
			return err
		}
		if text != "" {
			c.system = append(c.system, text)
		}
	}
	elements, err := messages.Array()
	if err != nil {
		return err
	}
	for _, e := range elements {
		if err := c.message(e); err != nil {
			return err
		}
	}
	if len(c.messages) == 0 {
		return messages.Errorf("must have at least one message of the user")
	}
	if c.messages[len(c.messages)-1].Role == engine.RoleAssistant && !q.terms.count {
		return messages.Errorf("must end with a message of the user: an answer cannot be begun for the model (prefill)")
	}
	q.turn.System, q.turn.Messages = strings.Join(c.system, "\n\n"), c.messages
	return nil
}

// text reads a string or an array of blocks of text, joined by an empty line.
func (c *conversation) text(v wire.Value) (string, error) {
	blocks, err := c.content(v, ofSystem)
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
		c.forget()
		return c.add(engine.RoleUser, content, ofUser)
	case "assistant":
		return c.add(engine.RoleAssistant, content, ofAssistant)
	case "system":
		return c.systemMessage(o)
	}
	return o.Get("role").Unknown("user", "assistant", "system")
}

// systemMessage reads a message of the system. One that only sets output_config for
// the turns after it has no content.
func (c *conversation) systemMessage(o wire.Object) error {
	r := wire.Read(o)
	r.Objects("output_config")
	until := r.String("clear_at")
	if r.Err() != nil {
		return r.Err()
	}
	content := o.Get("content")
	if settings := o.Get("output_config"); !settings.IsNull() {
		c.note("messages.output_config")
		if content.IsNull() {
			return nil
		}
	}
	text, err := c.text(content)
	if err != nil {
		return err
	}
	fleeting := until == "next_user_message"
	if len(c.messages) == 0 && !fleeting {
		c.system = append(c.system, text)
		return nil
	}
	if fleeting {
		c.fleeting = append(c.fleeting, len(c.messages))
	}
	c.messages = append(c.messages, engine.Message{
		Role: engine.RoleUser, Parts: []engine.Part{engine.Text("<system>\n" + text + "\n</system>")},
	})
	return nil
}

// forget takes fleeting messages of the system out.
func (c *conversation) forget() {
	if len(c.fleeting) == 0 {
		return
	}
	first, left := c.fleeting[0], c.fleeting
	kept := c.messages[:first]
	for i, m := range c.messages[first:] {
		if len(left) > 0 && left[0] == first+i {
			left = left[1:]
			continue
		}
		kept = append(kept, m)
	}
	clear(c.messages[len(kept):])
	c.messages, c.fleeting = kept, nil
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

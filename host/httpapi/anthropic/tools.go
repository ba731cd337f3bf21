package anthropic

import (
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func (q *messagesRequest) decodeTools(o wire.Object) error {
	if v := o.Get("tools"); !v.IsNull() {
		elements, err := v.Array()
		if err != nil {
			return err
		}
		for i, e := range elements {
			if i == maxTools {
				return v.Errorf("must have at most %d elements", maxTools)
			}
			tool, err := decodeTool(e)
			if err != nil {
				return err
			}
			if q.hasTool(tool.Name) {
				return e.Errorf("has the name %q of an earlier tool", tool.Name)
			}
			q.turn.Tools = append(q.turn.Tools, tool)
		}
	}
	return q.decodeChoice(o.Get("tool_choice"))
}

func (q *messagesRequest) hasTool(name string) bool {
	return slices.ContainsFunc(q.turn.Tools, func(t engine.Tool) bool { return t.Name == name })
}

// decodeTool reads a tool of the client's. Those that Anthropic's servers run, or
// whose schema only they know, have another type.
func decodeTool(v wire.Value) (tool engine.Tool, err error) {
	o, err := v.Object()
	if err != nil {
		return tool, err
	}
	kind, err := o.Get("type").OptionalString()
	if err != nil {
		return tool, err
	}
	if kind != "" && kind != "custom" {
		return tool, o.Get("type").Errorf("is %q; only tools of the client's own (custom) are supported", clip(kind))
	}
	if tool.Name, err = o.Get("name").ToolName(); err != nil {
		return tool, err
	}
	if tool.Description, err = o.Get("description").OptionalString(); err != nil {
		return tool, err
	}
	tool.InputSchema, err = o.Get("input_schema").Schema()
	return tool, err
}

// clip shortens what a message quotes.
func clip(s string) string {
	if len(s) <= 64 {
		return s
	}
	return strings.ToValidUTF8(s[:64], "") + "…"
}

func (q *messagesRequest) decodeChoice(v wire.Value) error {
	if v.IsNull() {
		return nil
	}
	o, err := v.Object()
	if err != nil {
		return err
	}
	kind, err := o.Get("type").String()
	if err != nil {
		return err
	}
	switch kind {
	case "auto":
	case "none":
		q.turn.ToolChoice.Kind = engine.ToolChoiceNone
	case "any":
		if len(q.turn.Tools) == 0 {
			return v.Errorf("asks for a call, but there are no tools")
		}
		q.turn.ToolChoice.Kind = engine.ToolChoiceRequired
	case "tool":
		name, err := o.Get("name").NonEmpty()
		if err != nil {
			return err
		}
		if !q.hasTool(name) {
			return v.Errorf("names the tool %q, which is not among the tools", clip(name))
		}
		q.turn.ToolChoice = engine.ToolChoice{Kind: engine.ToolChoiceName, Name: name}
	default:
		return o.Get("type").Unknown("auto", "any", "tool", "none")
	}
	single, err := o.Get("disable_parallel_tool_use").Bool()
	if single && len(q.turn.Tools) > 0 {
		q.ignored = append(q.ignored, "tool_choice.disable_parallel_tool_use")
	}
	return err
}

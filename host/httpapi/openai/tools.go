package openai

import (
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// noParameters is the schema of a function that names none.
const noParameters = `{"type":"object","properties":{}}`

func (q *chatRequest) decodeTools(o wire.Object) error {
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
	if v := o.Get("tool_choice"); !v.IsNull() {
		return q.decodeChoice(v)
	}
	return nil
}

func (q *chatRequest) hasTool(name string) bool {
	return slices.ContainsFunc(q.turn.Tools, func(t engine.Tool) bool { return t.Name == name })
}

func decodeTool(v wire.Value) (tool engine.Tool, err error) {
	o, err := v.Object()
	if err != nil {
		return tool, err
	}
	kind, err := o.Get("type").String()
	if err != nil {
		return tool, err
	}
	if kind != "function" {
		return tool, o.Get("type").Unknown("function")
	}
	f, err := o.Get("function").Object()
	if err != nil {
		return tool, err
	}
	if tool.Name, err = f.Get("name").ToolName(); err != nil {
		return tool, err
	}
	if tool.Description, err = f.Get("description").OptionalString(); err != nil {
		return tool, err
	}
	parameters := f.Get("parameters")
	if parameters.IsNull() {
		tool.InputSchema = json.RawMessage(noParameters)
		return tool, nil
	}
	tool.InputSchema, err = parameters.Schema()
	return tool, err
}

func (q *chatRequest) decodeChoice(v wire.Value) error {
	if v.IsString() {
		return q.decodeMode(v)
	}
	if !v.IsObject() {
		return v.Errorf("must be a string or an object")
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
	case "function":
		name, err := functionName(o)
		if err != nil {
			return err
		}
		if !q.hasTool(name) {
			return v.Errorf("names the function %q, which is not among the tools", name)
		}
		q.turn.ToolChoice = engine.ToolChoice{Kind: engine.ToolChoiceName, Name: name}
		return nil
	case "allowed_tools":
		return q.decodeAllowed(o.Get("allowed_tools"))
	}
	return o.Get("type").Unknown("function", "allowed_tools")
}

func functionName(o wire.Object) (string, error) {
	f, err := o.Get("function").Object()
	if err != nil {
		return "", err
	}
	return f.Get("name").NonEmpty()
}

func (q *chatRequest) decodeMode(v wire.Value) error {
	mode, err := v.String()
	if err != nil {
		return err
	}
	switch mode {
	case "auto":
	case "none":
		q.turn.ToolChoice.Kind = engine.ToolChoiceNone
	case "required":
		if len(q.turn.Tools) == 0 {
			return v.Errorf("asks for a call, but there are no tools")
		}
		q.turn.ToolChoice.Kind = engine.ToolChoiceRequired
	default:
		return v.Unknown("none", "auto", "required")
	}
	return nil
}

// decodeAllowed leaves only those tools that the choice allows.
func (q *chatRequest) decodeAllowed(v wire.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	list := o.Get("tools")
	elements, err := list.Array()
	if err != nil {
		return err
	}
	allowed := map[string]bool{}
	for _, e := range elements {
		tool, err := e.Object()
		if err != nil {
			return err
		}
		name, err := functionName(tool)
		if err != nil {
			return err
		}
		if !q.hasTool(name) {
			return e.Errorf("names the function %q, which is not among the tools", name)
		}
		allowed[name] = true
	}
	q.turn.Tools = slices.DeleteFunc(q.turn.Tools, func(t engine.Tool) bool { return !allowed[t.Name] })
	return q.decodeMode(o.Get("mode"))
}

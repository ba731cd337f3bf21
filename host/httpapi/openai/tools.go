package openai

import (
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// noParameters is the schema of a function that names none.
const noParameters = `{"type":"object","properties":{}}`

func (q *request) decodeTools(o wire.Object) error {
	if v := o.Get("tools"); !v.IsNull() {
		elements, err := v.Array()
		if err != nil {
			return err
		}
		for _, e := range elements {
			f, err := toolFunction(e)
			if err != nil {
				return err
			}
			if err := q.addTool(v, e, f); err != nil {
				return err
			}
		}
	}
	if v := o.Get("tool_choice"); !v.IsNull() {
		return q.decodeChoice(v)
	}
	return nil
}

// toolFunction is the function of a tool; there are no other tools here.
func toolFunction(v wire.Value) (f wire.Object, err error) {
	o, err := v.Object()
	if err != nil {
		return f, err
	}
	kind, err := o.Get("type").String()
	if err != nil {
		return f, err
	}
	if kind != "function" {
		return f, o.Get("type").Unknown("function")
	}
	return o.Get("function").Object()
}

// fieldStrictTools is named where the arguments of calls are to match their schema.
const fieldStrictTools = "tools.strict"

// addTool adds the function f of an element e of a list.
func (q *request) addTool(list, e wire.Value, f wire.Object) error {
	if len(q.turn.Tools) == maxTools {
		return list.Errorf("must have at most %d elements", maxTools)
	}
	tool, err := decodeTool(f)
	if err != nil {
		return err
	}
	if q.hasTool(tool.Name) {
		return e.Errorf("has the name %q of an earlier tool", tool.Name)
	}
	if strict, err := f.Get("strict").Bool(); err == nil && strict && !slices.Contains(q.ignored, fieldStrictTools) {
		q.ignored = append(q.ignored, fieldStrictTools)
	}
	q.turn.Tools = append(q.turn.Tools, tool)
	return nil
}

func (q *request) hasTool(name string) bool {
	return slices.ContainsFunc(q.turn.Tools, func(t engine.Tool) bool { return t.Name == name })
}

// decodeTool reads a function. Names may be as long as Anthropic's, which is longer
// than OpenAI's. Arguments are not held to the schema, strict or not (addTool says
// so): the client has to look at them anyway.
func decodeTool(f wire.Object) (tool engine.Tool, err error) {
	if tool.Name, err = f.Get("name").ToolName(); err != nil {
		return tool, err
	}
	r := wire.Read(f)
	tool.Description = r.String("description")
	r.Bool("strict")
	tool.InputSchema = json.RawMessage(noParameters)
	if parameters := f.Get("parameters"); !parameters.IsNull() {
		tool.InputSchema, err = parameters.Schema()
		r.Fail(err)
	}
	return tool, r.Err()
}

func (q *request) decodeChoice(v wire.Value) error {
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
		return q.force(v, name)
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

func (q *request) decodeMode(v wire.Value) error {
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
func (q *request) decodeAllowed(v wire.Value) error {
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

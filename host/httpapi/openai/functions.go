package openai

import (
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// decodeFunctions reads functions and function_call, which were before tools and
// tool_choice. An answer has one call then, and in the old form.
func (q *request) decodeFunctions(o wire.Object) error {
	functions, choice := o.Get("functions"), o.Get("function_call")
	if functions.IsNull() && choice.IsNull() {
		return nil
	}
	if len(q.turn.Tools) > 0 || !o.Get("tool_choice").IsNull() {
		if functions.IsNull() {
			return choice.Errorf("cannot be used together with tools; use tool_choice")
		}
		return functions.Errorf("cannot be used together with tools; use those alone")
	}
	q.functions, q.turn.SingleCall = true, true
	if !functions.IsNull() {
		elements, err := functions.Array()
		if err != nil {
			return err
		}
		for _, e := range elements {
			f, err := e.Object()
			if err != nil {
				return err
			}
			if err := q.addTool(functions, e, f); err != nil {
				return err
			}
		}
	}
	return q.decodeFunctionChoice(choice)
}

func (q *request) decodeFunctionChoice(v wire.Value) error {
	switch {
	case v.IsNull():
		return nil
	case v.IsString():
		mode, err := v.String()
		switch mode {
		case "auto":
		case "none":
			q.turn.ToolChoice.Kind = engine.ToolChoiceNone
		default:
			err = v.Unknown("none", "auto")
		}
		return err
	}
	o, err := v.Object()
	if err != nil {
		return err
	}
	name, err := o.Get("name").NonEmpty()
	if err != nil {
		return err
	}
	return q.force(v, name)
}

// force makes the model call one of the tools.
func (q *request) force(v wire.Value, name string) error {
	if !q.hasTool(name) {
		return v.Errorf("names the function %q, which is not among those of the request", name)
	}
	q.turn.ToolChoice = engine.ToolChoice{Kind: engine.ToolChoiceName, Name: name}
	return nil
}

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
			if err := q.decodeTool(e); err != nil {
				return err
			}
		}
	}
	return q.decodeChoice(o.Get("tool_choice"))
}

func (q *messagesRequest) hasTool(name string) bool {
	return slices.ContainsFunc(q.turn.Tools, func(t engine.Tool) bool { return t.Name == name })
}

// decodeTool reads a tool of whatever type, and offers it to the model if the client
// carries it out.
func (q *messagesRequest) decodeTool(v wire.Value) error {
	o, err := v.Object()
	if err != nil {
		return err
	}
	kind, err := o.Get("type").OptionalString()
	if err != nil {
		return err
	}
	var tool engine.Tool
	switch known := ownTool(kind); {
	case kind == "" || kind == "custom":
		tool, err = q.customTool(o)
	case known == nil:
		return o.Get("type").Errorf("is %q; use custom, or a type of Anthropic's that is known here", clip(kind))
	case known.treatment != honoured:
		return q.withhold(o, known.name(), known.treatment)
	default:
		tool, err = known.tool(o)
	}
	switch {
	case err != nil:
		return err
	case q.hasTool(tool.Name):
		return v.Errorf("has the name %q of an earlier tool", clip(tool.Name))
	case !callable(o.Get("allowed_callers")):
		return q.withhold(o, "allowed_callers", noted)
	}
	q.turn.Tools = append(q.turn.Tools, tool)
	return nil
}

// withhold notes a tool that the model is not offered.
func (q *messagesRequest) withhold(o wire.Object, why string, t treatment) error {
	name, err := o.Get("name").OptionalString()
	if err != nil {
		return err
	}
	q.withheld = append(q.withheld, name)
	if t == noted {
		q.note("tools." + why)
	}
	return nil
}

// toolFields are those of a tool besides what makes it up. All tools are offered from
// the start, so that none has to be loaded.
var toolFields = []requestField{
	{name: "type"},
	{name: "name"},
	{name: "description"},
	{name: "input_schema"},
	{name: "input_examples"},
	{name: "allowed_callers"},
	{name: "cache_control", treatment: harmless, kind: "object"},
	{name: "defer_loading", treatment: harmless},
	{name: "eager_input_streaming", treatment: harmless},
	{name: "strict"},
}

// customTool reads a tool of the client's own.
func (q *messagesRequest) customTool(o wire.Object) (tool engine.Tool, err error) {
	if tool.Name, err = o.Get("name").ToolName(); err != nil {
		return tool, err
	}
	if tool.Description, err = o.Get("description").OptionalString(); err != nil {
		return tool, err
	}
	if tool.InputSchema, err = o.Get("input_schema").Schema(); err != nil {
		return tool, err
	}
	if tool.Description, err = withExamples(tool.Description, o.Get("input_examples")); err != nil {
		return tool, err
	}
	strict, err := o.Get("strict").Bool()
	if err != nil {
		return tool, err
	}
	if strict {
		q.note("tools.strict")
	}
	r := wire.Read(o)
	q.settle(r, toolFields, "tools.")
	return tool, r.Err()
}

// withExamples adds examples of a tool's input to its description: backends have no
// other place for them.
func withExamples(description string, v wire.Value) (string, error) {
	if v.IsNull() {
		return description, nil
	}
	elements, err := v.Array()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(description)
	for i, e := range elements {
		if !e.IsObject() {
			_, err := e.Object()
			return "", err
		}
		if i == 0 {
			b.WriteString("\n\nExamples of input:")
		}
		b.WriteString("\n" + string(e.Compact()))
	}
	return strings.TrimPrefix(b.String(), "\n\n"), nil
}

// callable says that the model itself may call a tool, and not only code that runs on
// Anthropic's servers.
func callable(callers wire.Value) bool {
	if !callers.IsArray() || callers.Length() == 0 {
		return true
	}
	for _, e := range callers.Elements() {
		if s, err := e.String(); err == nil && s == "direct" {
			return true
		}
	}
	return false
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
			return v.Errorf("asks for a call, but there are no tools that the client carries out")
		}
		q.turn.ToolChoice.Kind = engine.ToolChoiceRequired
	case "tool":
		name, err := o.Get("name").NonEmpty()
		switch {
		case err != nil:
			return err
		case q.hasTool(name):
		case slices.Contains(q.withheld, name):
			return v.Errorf("names the tool %q, which Anthropic's servers run and nothing here", clip(name))
		default:
			return v.Errorf("names the tool %q, which is not among the tools", clip(name))
		}
		q.turn.ToolChoice = engine.ToolChoice{Kind: engine.ToolChoiceName, Name: name}
	default:
		return o.Get("type").Unknown("auto", "any", "tool", "none")
	}
	single, err := o.Get("disable_parallel_tool_use").Bool()
	q.turn.SingleCall = single && len(q.turn.Tools) > 0
	return err
}

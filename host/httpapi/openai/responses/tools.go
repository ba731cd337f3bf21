package responses

import (
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// freeform is the schema of a custom tool: backends know functions only, so that its
// text travels as their one argument.
const freeform = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}`

// toolSet knows, by the name that backends see, how the client wrote a tool.
type toolSet map[string]clientTool

type clientTool struct {
	name, namespace string
	custom          bool
}

// qualified is the name of a tool for backends, which know no namespaces. That of
// Codex's own, functions, is left out.
func qualified(namespace, name string) string {
	if namespace == "" || namespace == "functions" {
		return name
	}
	return namespace + "__" + name
}

func (q *request) decodeTools(o wire.Object) error {
	if v := o.Get("tools"); !v.IsNull() {
		if err := q.addTools(v, "", false); err != nil {
			return err
		}
	}
	defer func() { q.own = len(q.turn.Tools) }()
	if v := o.Get("tool_choice"); !v.IsNull() {
		return q.decodeChoice(v)
	}
	return nil
}

// addTools reads a list of tools. Those that only OpenAI can carry out are left out
// and named: Codex sends some with every request. again says that a tool may be known
// already: the same items come back when a conversation goes on.
func (q *request) addTools(v wire.Value, namespace string, again bool) error {
	elements, err := v.Array()
	if err != nil {
		return err
	}
	for _, e := range elements {
		o, err := e.Object()
		if err != nil {
			return err
		}
		kind, err := o.Get("type").NonEmpty()
		if err != nil {
			return err
		}
		switch {
		case kind == "function" || kind == "custom":
			err = q.addTool(e, o, namespace, kind == "custom", again)
		case kind == "namespace" && namespace == "":
			var name string
			if name, err = o.Get("name").ToolName(); err == nil {
				err = q.addTools(o.Get("tools"), name, again)
			}
		default:
			if name := "tools." + kind; !slices.Contains(q.ignored, name) {
				q.ignored = append(q.ignored, name)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (q *request) addTool(v wire.Value, o wire.Object, namespace string, custom, again bool) (err error) {
	name, err := o.Get("name").ToolName()
	if err != nil {
		return err
	}
	tool := engine.Tool{Name: qualified(namespace, name), InputSchema: json.RawMessage(openai.NoParameters)}
	_, taken := q.tools[tool.Name]
	switch {
	case taken && !again:
		return v.Errorf("has the name %q of an earlier tool", name)
	case !taken && len(q.turn.Tools) == maxTools:
		return v.Errorf("is one tool too many: at most %d", maxTools)
	}
	if tool.Description, err = o.Get("description").OptionalString(); err != nil {
		return err
	}
	if custom {
		tool.InputSchema = json.RawMessage(freeform)
	} else if parameters := o.Get("parameters"); !parameters.IsNull() {
		if tool.InputSchema, err = parameters.Schema(); err != nil {
			return err
		}
	}
	q.keepTool(tool, clientTool{name: name, namespace: namespace, custom: custom})
	return nil
}

// keepTool adds a tool. Of one that is known the later meaning counts, but what the
// request's own tools say stays.
func (q *request) keepTool(tool engine.Tool, written clientTool) {
	if _, taken := q.tools[tool.Name]; !taken {
		q.tools[tool.Name] = written
		q.turn.Tools = append(q.turn.Tools, tool)
		return
	}
	for i := q.own; i < len(q.turn.Tools); i++ {
		if q.turn.Tools[i].Name == tool.Name {
			q.tools[tool.Name], q.turn.Tools[i] = written, tool
		}
	}
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
	case "function", "custom":
		name, err := q.toolNamed(v, o)
		if err != nil {
			return err
		}
		q.turn.ToolChoice = engine.ToolChoice{Kind: engine.ToolChoiceName, Name: name}
		return nil
	case "allowed_tools":
		return q.decodeAllowed(o)
	}
	return o.Get("type").Errorf("is %q: no backend can carry out a tool of that type; it must be function, custom or allowed_tools", kind)
}

// toolNamed is the backends' name of the tool that o names.
func (q *request) toolNamed(v wire.Value, o wire.Object) (string, error) {
	name, err := o.Get("name").NonEmpty()
	if err != nil {
		return "", err
	}
	namespace, err := o.Get("namespace").OptionalString()
	if err != nil {
		return "", err
	}
	if _, ok := q.tools[qualified(namespace, name)]; !ok {
		return "", v.Errorf("names the tool %q, which is not among the tools", name)
	}
	return qualified(namespace, name), nil
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
			return v.Errorf("asks for a call, but there are no tools that the client carries out")
		}
		q.turn.ToolChoice.Kind = engine.ToolChoiceRequired
	default:
		return v.Unknown("none", "auto", "required")
	}
	return nil
}

// decodeAllowed leaves only those tools that the choice allows.
func (q *request) decodeAllowed(o wire.Object) error {
	elements, err := o.Get("tools").Array()
	if err != nil {
		return err
	}
	allowed := map[string]bool{}
	for _, e := range elements {
		tool, err := e.Object()
		if err != nil {
			return err
		}
		kind, err := tool.Get("type").String()
		if err != nil {
			return err
		}
		if kind != "function" && kind != "custom" {
			continue
		}
		name, err := q.toolNamed(e, tool)
		if err != nil {
			return err
		}
		allowed[name] = true
	}
	q.turn.Tools = slices.DeleteFunc(q.turn.Tools, func(t engine.Tool) bool { return !allowed[t.Name] })
	return q.decodeMode(o.Get("mode"))
}

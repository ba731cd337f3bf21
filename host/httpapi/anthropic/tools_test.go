package anthropic

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func TestTools(t *testing.T) {
	schema := json.RawMessage(`{"type":"object"}`)
	a := engine.Tool{Name: "a", Description: "d", InputSchema: schema}
	const own = `{"name":"a","description":"d","input_schema":{"type":"object"}}`
	for name, tt := range map[string]struct {
		tools   string
		want    []engine.Tool
		ignored []string
	}{
		"all that may be there": {
			`{"type":"custom","name":"a","description":"d","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral","ttl":"1h"},
			  "defer_loading":true,"eager_input_streaming":true,"strict":false,"allowed_callers":["direct","code_execution_20250825"],"input_examples":[]}`,
			[]engine.Tool{a}, nil,
		},
		"examples": {
			`{"name":"a","description":"d","input_schema":{"type":"object"},"input_examples":[{ "q": 1 },{}]}`,
			[]engine.Tool{{Name: "a", Description: "d\n\nExamples of input:\n{\"q\":1}\n{}", InputSchema: schema}}, nil,
		},
		"examples only": {
			`{"name":"a","input_schema":{"type":"object"},"input_examples":[{}]}`,
			[]engine.Tool{{Name: "a", Description: "Examples of input:\n{}", InputSchema: schema}}, nil,
		},
		"strict":            {`{"name":"a","description":"d","input_schema":{"type":"object"},"strict":true}`, []engine.Tool{a}, []string{"tools.strict"}},
		"not for the model": {`{"name":"x","input_schema":{},"allowed_callers":["code_execution_20250825"]},` + own, []engine.Tool{a}, []string{"tools.allowed_callers"}},
		"of Anthropic's servers": {
			own + `,{"type":"web_search_20250305","name":"web_search","max_uses":5},{"type":"web_fetch_20260309","name":"web_fetch"},
			  {"type":"code_execution_20250825","name":"code_execution"},{"type":"mcp_toolset","mcp_server_name":"m"},{"type":"computer_toolset_20260801"}`,
			[]engine.Tool{a},
			[]string{"tools.web_search", "tools.web_fetch", "tools.code_execution", "tools.mcp_toolset", "tools.computer"},
		},
		"search for tools": {own + `,{"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"}`, []engine.Tool{a}, nil},
		"carried out by the client": {
			`{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"str_replace_based_edit_tool","max_characters":100},{"type":"memory_20250818","name":"memory"}`,
			[]engine.Tool{
				{Name: "bash", Description: bashDescription, InputSchema: bashSchema},
				{Name: "str_replace_based_edit_tool", Description: editorDescription, InputSchema: editorSchema},
				{Name: "memory", Description: memoryDescription, InputSchema: memorySchema},
			}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			body := complete(`"tools":[` + tt.tools + `]`)
			dialecttest.Valid(t, "MessageRequest", body)
			q, err := decodeMessages(body, terms{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, q.turn.Tools); diff != "" {
				t.Errorf("the tools (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.ignored, q.ignored); diff != "" {
				t.Errorf("what is ignored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefuseTools(t *testing.T) {
	const search = `{"type":"web_search_20250305","name":"web_search"}`
	for name, tt := range map[string]struct{ members, param string }{
		"unknown type":     {`"tools":[{"type":"hologram_20300101","name":"x"}]`, "tools[0].type"},
		"type no string":   {`"tools":[{"type":1,"name":"x"}]`, "tools[0].type"},
		"no name":          {`"tools":[{"type":"bash_20250124"}]`, "tools[0].name"},
		"name no string":   {`"tools":[{"type":"web_search_20250305","name":1}]`, "tools[0].name"},
		"same name":        {`"tools":[{"type":"bash_20250124","name":"bash"},{"name":"bash","input_schema":{}}]`, "tools[1]"},
		"examples":         {`"tools":[{"name":"a","input_schema":{},"input_examples":{}}]`, "tools[0].input_examples"},
		"example":          {`"tools":[{"name":"a","input_schema":{},"input_examples":[1]}]`, "tools[0].input_examples[0]"},
		"strict":           {`"tools":[{"name":"a","input_schema":{},"strict":"yes"}]`, "tools[0].strict"},
		"forced, not here": {`"tools":[` + search + `],"tool_choice":{"type":"tool","name":"web_search"}`, "tool_choice"},
		"any, none here":   {`"tools":[` + search + `],"tool_choice":{"type":"any"}`, "tool_choice"},
		"parallel":         {`"tools":[{"name":"a","input_schema":{}}],"tool_choice":{"type":"auto","disable_parallel_tool_use":1}`, "tool_choice.disable_parallel_tool_use"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeMessages(complete(tt.members), terms{})
			if f, ok := errors.AsType[*wire.Error](err); !ok || f.Path != tt.param {
				t.Errorf("got %v, want an error about %s", err, tt.param)
			}
		})
	}
}

// The schemas of Anthropic's tools are schemas, and take what its models write.
func TestOwnSchemas(t *testing.T) {
	for _, tt := range []struct {
		schema json.RawMessage
		input  string
		fits   bool
	}{
		{bashSchema, `{"command":"ls"}`, true},
		{bashSchema, `{"restart":true}`, true},
		{bashSchema, `{"command":1}`, false},
		{editorSchema, `{"command":"view","path":"/a","view_range":[1,-1]}`, true},
		{editorSchema, `{"command":"str_replace","path":"/a","old_str":"x","new_str":"y"}`, true},
		{editorSchema, `{"command":"insert","path":"/a","insert_line":0,"insert_text":"y"}`, true},
		{editorSchema, `{"command":"view"}`, false},
		{memorySchema, `{"command":"rename","old_path":"/memories/a","new_path":"/memories/b"}`, true},
		{memorySchema, `{"command":"burn"}`, false},
	} {
		var schema, input any
		if err := errors.Join(json.Unmarshal(tt.schema, &schema), json.Unmarshal([]byte(tt.input), &input)); err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("tool.json", schema); err != nil {
			t.Fatal(err)
		}
		compiled, err := c.Compile("tool.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(input); (err == nil) != tt.fits {
			t.Errorf("%s: got %v", tt.input, err)
		}
	}
}

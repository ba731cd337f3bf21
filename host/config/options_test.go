package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testSchema = `{
  "type": "object", "additionalProperties": false,
  "properties": {
    "max_live": {"type": "integer", "minimum": 0, "maximum": 64},
    "transport": {"enum": ["auto", "sse"]},
    "allowed_tools": {"type": "array", "items": {"type": "string", "pattern": "^[^-]"}},
    "deep": {"type": "object", "additionalProperties": false, "properties": {"list": {"type": "array", "items": {"type": "integer"}}}}
  }
}`

func TestCheckOptions(t *testing.T) {
	for _, tt := range []struct {
		name, file, schema string
		want               []string // of the error; none: valid
	}{
		{"none", "backends: {b: {warm: 1}}\n", "", nil},
		{"valid", "backends:\n  b:\n    options: {max_live: 4, transport: sse, deep: {list: [1]}}\n", testSchema, nil},
		{"all tools", "backends: {b: {allowed_tools: all}}\n", "", nil},
		{"tools", "backends: {b: {allowed_tools: 'Read, Bash(git log:*)'}}\n", testSchema, nil},
		{"unknown", "backends:\n  b:\n    options:\n      max_lives: 4\n", testSchema, []string{
			`:4:18: backends.b.options.max_lives is not known to the plugin; did you mean "max_live"?`,
		}},
		{"two mistakes", "backends:\n  b:\n    options:\n      transport: tcp\n      max_live: 100\n", testSchema, []string{
			":4:18: backends.b.options.transport is not as the plugin has it: value must be one of 'auto', 'sse'",
			":5:17: backends.b.options.max_live is not as the plugin has it: maximum: got 100, want 64",
		}},
		{"in a list", "backends:\n  b:\n    options:\n      deep:\n        list:\n          - 1\n          - x\n", testSchema, []string{
			":7:13: backends.b.options.deep.list.1 is not as the plugin has it",
		}},
		{"deep", "backends:\n  b:\n    options: {deep: {lists: 1}}\n", testSchema, []string{":3:29: backends.b.options.deep.lists is not known to the plugin"}},
		{"no options", "backends:\n  b:\n    options: {x: 1}\n", "", []string{":3:18: backends.b.options.x is set, and the plugin takes no options"}},
		{"no tools", "backends:\n  b:\n    allowed_tools: Read\n", `{"type":"object","additionalProperties":false}`, []string{
			":3:20: backends.b.allowed_tools is not known to the plugin",
		}},
		{"tools of another form", "backends:\n  b:\n    allowed_tools: Read, -x\n", testSchema, []string{":3:20: backends.b.allowed_tools is not as the plugin has it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			err = c.CheckOptions("b", []byte(tt.schema))
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("%v", err)
			}
			for _, want := range tt.want {
				if _, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), want) {
					t.Errorf("%T %v", err, err)
				}
			}
		})
	}
}

// TestCheckOptionsWithBadSchema: what is the plugin's fault is not called a mistake of
// the configuration.
func TestCheckOptionsWithBadSchema(t *testing.T) {
	c, err := load(t, "backends: {b: {options: {x: 1}}}\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, schema := range []string{"{", `{"type": 7}`, `{"$ref": "http://127.0.0.1:1/x"}`} {
		err := c.CheckOptions("b", []byte(schema))
		if _, ours := errors.AsType[*Error](err); err == nil || ours {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestAllowedTools(t *testing.T) {
	c, err := load(t, "backends: {b: {allowed_tools: ' Read,Bash(git log:*, x) ,,Edit', options: {deep: {}}}, all: {allowed_tools: all}}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"deep": map[string]any{}, "allowed_tools": []any{"Read", "Bash(git log:*, x)", "Edit"}}
	if diff := cmp.Diff(want, c.OptionsOf("b")); diff != "" {
		t.Error(diff)
	}
	if o := c.OptionsOf("all"); o != nil {
		t.Errorf("%v", o)
	}
	_, err = load(t, "backends: {b: {allowed_tools: Read, options: {allowed_tools: [x]}}}\n")
	if err == nil || !strings.Contains(err.Error(), ":1:31: backends.b.allowed_tools is set, and so is options.allowed_tools") {
		t.Error(err)
	}
}

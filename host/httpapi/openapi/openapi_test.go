package openapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is what the tests look at.
type document struct {
	OpenAPI string
	Info    struct{ Version string }
	Paths   map[string]map[string]*operation

	Components struct {
		Schemas    map[string]any
		Responses  map[string]any
		Parameters map[string]any
	}
}

type operation struct {
	OperationID string
	Summary     string
	Tags        []string
	Parameters  []struct {
		Name, In string
		Ref      string `json:"$ref"`
	}
	RequestBody *struct {
		Content map[string]struct {
			Schema struct {
				Ref string `json:"$ref"`
			}
			Example any
		}
	}
	Responses map[string]any
}

func load(t *testing.T) (document, any) {
	t.Helper()
	text, err := Document("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d, raw
}

func TestDocument(t *testing.T) {
	d, raw := load(t)
	if d.OpenAPI != "3.1.0" || d.Info.Version != "1.2.3" {
		t.Errorf("got %s, version %s", d.OpenAPI, d.Info.Version)
	}
	ids := map[string]string{}
	for path, methods := range d.Paths {
		for method, op := range methods {
			at := method + " " + path
			if op.OperationID == "" || op.Summary == "" || len(op.Tags) != 1 || len(op.Responses) == 0 {
				t.Errorf("%s is not complete: %+v", at, op)
			}
			if other := ids[op.OperationID]; other != "" {
				t.Errorf("%s and %s are both %s", at, other, op.OperationID)
			}
			ids[op.OperationID] = at
			for _, p := range op.Parameters {
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s has no %s", at, p.Name)
				}
			}
			if strings.Contains(path, "{") && len(op.Parameters) == 0 {
				t.Errorf("%s does not tell its parameters", at)
			}
		}
	}
	references(t, raw, raw, "#")
}

// references follows every $ref.
func references(t *testing.T, doc, v any, at string) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			target := doc
			for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				m, ok := target.(map[string]any)
				if !ok || m[name] == nil {
					t.Fatalf("%s: %s leads nowhere", at, ref)
				}
				target = m[name]
			}
		}
		for key, child := range v {
			references(t, doc, child, at+"/"+key)
		}
	case []any:
		for _, child := range v {
			references(t, doc, child, at)
		}
	}
}

// TestSchemas compiles every schema and holds the examples of requests against theirs.
func TestSchemas(t *testing.T) {
	d, raw := load(t)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("openapi.json", raw); err != nil {
		t.Fatal(err)
	}
	for name := range d.Components.Schemas {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for path, methods := range d.Paths {
		for _, op := range methods {
			if op.RequestBody == nil {
				continue
			}
			body := op.RequestBody.Content["application/json"]
			s, err := c.Compile("openapi.json" + body.Schema.Ref)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(body.Example); err != nil {
				t.Errorf("the example of %s: %v", path, err)
			}
		}
	}
}

func TestMerge(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b map[string]any
		ok   bool
	}{
		"apart": {map[string]any{"x": map[string]any{"a": 1}}, map[string]any{"x": map[string]any{"b": 1}}, true},
		"twice": {map[string]any{"x": map[string]any{"a": 1}}, map[string]any{"x": map[string]any{"a": 1}}, false},
		"types": {map[string]any{"x": 1}, map[string]any{"x": map[string]any{}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := merge(tt.a, tt.b, ""); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func BenchmarkDocument(b *testing.B) {
	for b.Loop() {
		if _, err := Document("0"); err != nil {
			b.Fatal(err)
		}
	}
}

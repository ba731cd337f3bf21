package schema

import (
	"encoding/json"
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestFit(t *testing.T) {
	closed := &backendv1.StructuredOutputCapability{ClosedObjects: true, RefusedKeywords: []string{"minLength"}}
	full := &backendv1.StructuredOutputCapability{ClosedObjects: true, AllRequired: true}
	const none = ""
	tests := []struct {
		name   string
		c      *backendv1.StructuredOutputCapability
		schema string
		want   string
	}{
		{"any goes", &backendv1.StructuredOutputCapability{}, `{"type": "object"}`, `{"type": "object"}`},
		{"fits", closed, `{"type":"object","properties":{"z":{"type":"string"},"a":{}},"additionalProperties":false}`, `{"type":"object","properties":{"z":{"type":"string"},"a":{}},"additionalProperties":false}`},
		{"is closed, in order", closed, `{ "type":"object","properties":{"z":{"type":"object","properties":{"y":{}}},"a":{}}}`, `{"additionalProperties":false, "type":"object","properties":{"z":{"additionalProperties":false,"type":"object","properties":{"y":{}}},"a":{}}}`},
		{"within lists and definitions", closed, `{"$defs":{"d":{"properties":{"x":{}}}},"type":"array","items":{"anyOf":[{"type":["object","null"],"properties":{"y":{}}},{"$ref":"#/$defs/d"}]}}`, `{"$defs":{"d":{"additionalProperties":false,"properties":{"x":{}}}},"type":"array","items":{"anyOf":[{"additionalProperties":false,"type":["object","null"],"properties":{"y":{}}},{"$ref":"#/$defs/d"}]}}`},
		{"open", closed, `{"type":"object","properties":{"x":{}},"additionalProperties":true}`, none},
		{"open for some", closed, `{"type":"object","properties":{"x":{}},"additionalProperties":{"type":"string"}}`, none},
		{"a map within", closed, `{"type":"object","properties":{"x":{"type":"object"}}}`, none},
		{"any object", closed, `{"type":"object"}`, none},
		{"properties beside others", closed, `{"type":"object","properties":{"x":{}},"allOf":[{"properties":{"y":{}}}]}`, none},
		{"refused keyword", closed, `{"type":"object","properties":{"x":{"type":"string","minLength":1}},"additionalProperties":false}`, none},
		{"a property of that name", closed, `{"type":"object","properties":{"minLength":{"type":"string"}},"additionalProperties":false}`, `{"type":"object","properties":{"minLength":{"type":"string"}},"additionalProperties":false}`},
		{"all required", full, `{"type":"object","properties":{"x":{}},"required":["x"]}`, `{"additionalProperties":false,"type":"object","properties":{"x":{}},"required":["x"]}`},
		{"one optional", full, `{"type":"object","properties":{"x":{},"y":{}},"required":["x"]}`, none},
		{"none required", full, `{"type":"object","properties":{"x":{}}}`, none},
		{"no object", full, `{"type":"string"}`, `{"type":"string"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Compile(json.RawMessage(test.schema))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := s.Fit(test.c)
			if ok != (test.want != none) || string(got) != test.want {
				t.Errorf("%v, %s", ok, got)
			}
			if string(s.source) != test.schema {
				t.Errorf("the schema itself became %s", s.source)
			}
		})
	}
}

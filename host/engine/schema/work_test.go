package schema

import (
	"encoding/json"
	"strings"
	"testing"
)

// nested is an array of arrays, so deep.
func nested(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }

// TestSchemasThatGrowWithTheAnswer are checked as long as that is bearable, and no
// longer: an answer that would take minutes is one that does not match.
func TestSchemasThatGrowWithTheAnswer(t *testing.T) {
	const twice = `{"$ref":"#/$defs/a","$defs":{"a":{"items":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}}}}`
	const tree = `{"$ref":"#/$defs/n","$defs":{"n":{"type":"array","items":{"$ref":"#/$defs/n"}}}}`
	const value = `{"$ref":"#/$defs/v","$defs":{"v":{"anyOf":[{"type":"string"},{"type":"array","items":{"$ref":"#/$defs/v"}},{"type":"object","additionalProperties":{"$ref":"#/$defs/v"}}]}}}`
	const pair = `{"$ref":"#/$defs/p","$defs":{"p":{"type":["object","null"],"properties":{"left":{"$ref":"#/$defs/p"},"right":{"$ref":"#/$defs/p"}}}}}`
	deep := strings.Repeat(`{"left":`, 40) + "null" + strings.Repeat("}", 40)
	for name, test := range map[string]struct {
		schema, answer string
		ok             bool
	}{
		"doubles, flat":      {twice, nested(10), true},
		"doubles, deep":      {twice, nested(40), false},
		"a list of lists":    {tree, nested(90), true},
		"any value, deep":    {value, nested(90), true},
		"a tree of two":      {pair, deep, true},
		"large and harmless": {`{"type":"array","items":{"type":"integer"}}`, "[" + strings.TrimSuffix(strings.Repeat("1,", 100_000), ",") + "]", true},
	} {
		s, err := Compile(json.RawMessage(test.schema))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.Check(test.answer); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package plugins_test

import (
	"testing"

	"github.com/clinvk/clinvk/plugins"
)

func TestAskForObject(t *testing.T) {
	for schema, any := range map[string]bool{
		"": false, `{"type":"object"}`: true, `{ "type" : "object" }`: true, `{"type":"string"}`: false, `{}`: false,
		`{"type":"object","properties":{}}`: false, `{"type":["object"]}`: false, `[]`: false,
	} {
		turn := &plugins.Turn{System: "sys", OutputSchema: []byte(schema)}
		asking := turn.AskForObject()
		if turn.AnyObject() != any || (asking != turn) != any || any && (asking.OutputSchema != nil || asking.System == "sys") || turn.System != "sys" {
			t.Errorf("%q: any %v, asking %+v", schema, turn.AnyObject(), asking)
		}
	}
}

package main

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// outputSchema has what a program between here and the provider could trip over.
const outputSchema = `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,` +
	`"required":["city","kind","place"],"properties":{"city":{"type":"string","description":"✓","minLength":1},` +
	`"kind":{"enum":["a","b",null,1.50]},"place":{"anyOf":[{"$ref":"#/$defs/point"},{"type":"null"}]},` +
	`"tree":{"type":"array","items":{"$ref":"#/$defs/point"}}},"$defs":{"point":{"type":"object",` +
	`"additionalProperties":false,"required":["x"],"properties":{"x":{"type":"number","const":12345678901234567890}}}}}`

// TestStructuredOutput: the provider gets the schema as it is, beside the effort, in
// the one call of the turn, whose answer streams.
func TestStructuredOutput(t *testing.T) {
	answer := `{"city":"Rom ✓","kind":"a","place":null}`
	script := " tokens=0 text=b64:" + base64.StdEncoding.EncodeToString([]byte(answer))
	tools := []*backendv1.ToolSpec{{Name: "get_weather"}}
	tests := []struct {
		name, script, effort string
		tools                []*backendv1.ToolSpec
	}{
		{name: "alone"}, {name: "split", script: " split", effort: "low"},
		{name: "thinking and tools", script: " think=2", effort: "high", tools: tools},
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				f.tb = t
				f.api.Log.Reset()
				start := chat(user("[[" + script + test.script + "]]"))
				start.OutputSchema, start.Tools = []byte(outputSchema), test.tools
				start.Sampling = &backendv1.Sampling{ReasoningEffort: test.effort}
				r := f.complete(start)
				if r.Text != answer || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
					t.Errorf("text %q, %v", r.Text, r.Completed)
				}
				if test.script == " split" && r.TextDeltas < 10 {
					t.Errorf("%d deltas", r.TextDeltas)
				}
				if n := len(f.api.Log.Requests()); n != 1 {
					t.Errorf("%d requests", n)
				}
				checkSchema(t, f, test.effort)
				if n := len(f.body()["tools"].([]any)); n != len(test.tools) {
					t.Errorf("%d tools", n)
				}
			})
		}
	})
}

func checkSchema(t *testing.T, f *fixture, effort string) {
	t.Helper()
	var body struct {
		Config struct {
			Effort string `json:"effort"`
			Format struct {
				Type   string          `json:"type"`
				Schema json.RawMessage `json:"schema"`
			} `json:"format"`
		} `json:"output_config"`
	}
	turns := f.api.Log.Turns()
	if err := json.Unmarshal(turns[len(turns)-1].Body, &body); err != nil {
		t.Fatal(err)
	}
	if body.Config.Format.Type != "json_schema" || effort != "" && body.Config.Effort != effort {
		t.Errorf("output_config = %+v", body.Config)
	}
	if diff := cmp.Diff(value(t, outputSchema), value(t, string(body.Config.Format.Schema))); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
}

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// TestAnyObject: the provider enforces no schema that leaves members open, so the
// model is only asked.
func TestAnyObject(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
			start := chat(user("hi"))
			start.Mode, start.OutputSchema = mode, []byte(`{"type":"object"}`)
			f.complete(start)
			config, _ := f.body()["output_config"].(map[string]any)
			if system, _ := f.received(); config["format"] != nil || !cmp.Equal(objectWish.FindAllString(system, -1), []string{"You are terse.\n\nAnswer with one JSON object"}) {
				t.Errorf("%v: output_config %v, system %q", mode, config, system)
			}
		}
		start := chat(user("hi"))
		start.Mode, start.OutputSchema = backendv1.Mode_MODE_AGENT, []byte(outputSchema)
		if r := f.run(start); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UNSUPPORTED {
			t.Errorf("failed = %v", r.Failed)
		}
	})
}

var objectWish = regexp.MustCompile(`You are terse.\n\nAnswer with one JSON object`)

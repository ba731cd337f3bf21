package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func script(arguments string) string {
	return "b64:" + base64.StdEncoding.EncodeToString([]byte(arguments))
}

// last is the body of the last model call.
func last(t *testing.T, f *fixture) map[string]any {
	t.Helper()
	turns := f.api.Log.Turns()
	return value(t, string(turns[len(turns)-1].Body)).(map[string]any)
}

// TestSchemaIsExact: what the provider cannot enforce is the provider's to say.
func TestSchemaIsExact(t *testing.T) {
	schema := `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["z","a"],` +
		`"properties":{"z":{"const":1,"description":"✓"},"a":{"anyOf":[{"$ref":"#/$defs/x"},{"type":"null"}]},"free":{}},` +
		`"$defs":{"x":{"enum":["q",null,1.5],"pattern":"^a$","minLength":3,"format":"date"}}}`
	f := start(t)
	for _, tools := range [][]*backendv1.ToolSpec{nil, {{Name: "a"}}} {
		answer := `{"z":1,"a":null}`
		r := f.run(t, &backendv1.Start{
			Messages: []*backendv1.Message{user("[[split text=" + script(answer) + "]]")}, OutputSchema: []byte(schema), Tools: tools,
		})
		if r.Text != answer || r.TextDeltas < 10 {
			t.Errorf("text %q in %d deltas, %v", r.Text, r.TextDeltas, r.Failed)
		}
		format := last(t, f)["text"].(map[string]any)["format"].(map[string]any)
		if diff := cmp.Diff(value(t, schema), format["schema"]); diff != "" || format["type"] != "json_schema" || format["strict"] != true {
			t.Errorf("format %v; schema (-want +got):\n%s", format, diff)
		}
	}
	if n := len(f.api.Log.Turns()); n != 2 {
		t.Errorf("%d model calls for two turns", n)
	}
	// The provider enforces no schema that leaves members open.
	f.run(t, &backendv1.Start{System: "sys", Messages: []*backendv1.Message{user("hi")}, OutputSchema: []byte(`{"type":"object"}`)})
	text := last(t, f)["text"].(map[string]any)
	if system, _ := openai.Conversation(f.api.Log.Turns()[2]); text["format"] != nil || !strings.HasPrefix(system, "sys\n\nAnswer with one JSON object") {
		t.Errorf("text %v, system %q", text, system)
	}
}

// TestToolsAreExact: names and descriptions as the client gave them. Of schemas the
// CLI keeps a subset, see docs/backends.md.
func TestToolsAreExact(t *testing.T) {
	schema := `{"type":"object","properties":{"node":{"$ref":"#/$defs/node"},"kind":{"type":"string","enum":["a","b"]}},"required":["kind"],` +
		`"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}},"additionalProperties":false}`
	root := `{"anyOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"type":"object","properties":{}}]}`
	var tools []*backendv1.ToolSpec
	for _, name := range []string{
		"Bash", "Write", "shell", "local_shell", "apply_patch", "update_plan", "view_image", "run_shell_command", "read_file",
		"a-b_C-9", "9", "_", strings.Repeat("n", 64),
	} {
		tools = append(tools, &backendv1.ToolSpec{Name: name, Description: name + strings.Repeat(" ✓ long", 850), InputSchema: []byte(schema)})
	}
	tools[1].InputSchema, tools[2].InputSchema = []byte(root), nil
	f := start(t)
	for _, model := range []string{"", "gpt-5.5"} {
		if r := f.run(t, &backendv1.Start{Model: model, Messages: []*backendv1.Message{user("hi")}, Tools: tools}); r.Failed != nil {
			t.Fatal(r.Failed)
		}
		got := offered(last(t, f))
		if len(got) != len(tools) {
			t.Fatalf("%d tools of %d", len(got), len(tools))
		}
		for i, tool := range tools {
			want := map[string]any{"type": "function", "name": tool.GetName(), "description": tool.GetDescription(), "strict": false}
			want["parameters"] = map[string]any{"type": "object", "properties": map[string]any{}}
			if len(tool.GetInputSchema()) > 0 {
				want["parameters"] = value(t, string(tool.GetInputSchema()))
			}
			if diff := cmp.Diff(want, got[i]); diff != "" {
				t.Errorf("model %q, tool %s (-want +got):\n%s", model, tool.GetName(), diff)
			}
		}
	}
}

// offered are the tools of a request, wherever the model has them.
func offered(body map[string]any) []any {
	all, _ := body["tools"].([]any)
	for _, item := range body["input"].([]any) {
		if more, ok := item.(map[string]any)["tools"].([]any); ok {
			for _, namespace := range more {
				all = append(all, namespace.(map[string]any)["tools"].([]any)...)
			}
		}
	}
	return all
}

func TestNoToolMayBeCalled(t *testing.T) {
	f := start(t)
	r := f.run(t, &backendv1.Start{
		Messages: []*backendv1.Message{user("hi")}, Tools: []*backendv1.ToolSpec{{Name: "a"}},
		ToolChoice: &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_None{None: true}},
	})
	if tools := offered(last(t, f)); r.Failed != nil || len(tools) != 0 {
		t.Errorf("tools %v, %v", tools, r.Failed)
	}
}

// TestRoundsOfTools calls three tools at once, three times in a row, and gives back
// the reasoning that led to the calls. None of them is carried out.
func TestRoundsOfTools(t *testing.T) {
	for _, model := range []string{"", "gpt-5.5"} {
		t.Run(model, func(t *testing.T) {
			f := start(t)
			canary := filepath.Join(t.TempDir(), "canary")
			arguments := fmt.Sprintf(`{"command": ["touch", %q], "cmd": "touch %[1]s"}`, canary)
			prompt := user("go [[think=2 tokens=1 tool=shell args=" + script(arguments) + " tool=apply_patch tool=shell]]")
			s := &backendv1.Start{Model: model, Messages: []*backendv1.Message{prompt}, Tools: []*backendv1.ToolSpec{{Name: "shell"}, {Name: "apply_patch"}}}
			want := []string{"user text"}
			for round := range 3 {
				r := f.run(t, s)
				calls, _ := activity(r)
				if len(calls) != 3 || calls[0].GetArgumentsJson() != arguments || calls[1].GetName() != "apply_patch" || r.Reasoning != "thought0 thought1 " {
					t.Fatalf("round %d: %v, %v, reasoning %q", round, calls, r.Failed, r.Reasoning)
				}
				answer, results := returned(r), &backendv1.Message{Role: backendv1.Role_ROLE_USER}
				want = append(want, "assistant thinking "+openai.Encrypted, "assistant text")
				for _, c := range calls {
					results.Parts = append(results.Parts, &backendv1.Part{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{
						CallId: c.GetId(), Parts: user("r").GetParts(),
					}}})
					want = append(want, "assistant tool_use "+c.GetId()+" "+c.GetName())
				}
				for _, c := range calls {
					want = append(want, "tool tool_result "+c.GetId()+" r")
				}
				s.Messages = append(s.Messages, answer, results, prompt)
				want = append(want, "user text")
			}
			f.run(t, s)
			turns := f.api.Log.Turns()
			if diff := cmp.Diff(want, pieces(turns[len(turns)-1])); diff != "" || len(turns) != 4 {
				t.Errorf("%d model calls; history (-want +got):\n%s", len(turns), diff)
			}
			if !strings.Contains(string(turns[3].Body), `"summary":[{"type":"summary_text","text":"thought0 thought1 "}]`) {
				t.Errorf("the summary was changed: %s", turns[3].Body)
			}
			if _, err := os.Stat(canary); !os.IsNotExist(err) {
				t.Errorf("the CLI ran a client's tool: %v", err)
			}
		})
	}
}

// returned is an answer as a client gives it back.
func returned(r *backendtest.Result) *backendv1.Message {
	m := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT}
	for _, e := range r.Events {
		if d := e.GetReasoningDelta(); len(d.GetSignature()) > 0 {
			m.Parts = append(m.Parts, &backendv1.Part{Content: &backendv1.Part_Reasoning{
				Reasoning: &backendv1.Reasoning{Text: r.Reasoning, Signature: d.GetSignature()},
			}})
		}
	}
	m.Parts = append(m.Parts, message(0, r.Text).GetParts()...)
	calls, _ := activity(r)
	for _, c := range calls {
		m.Parts = append(m.Parts, &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: c}})
	}
	return m
}

// pieces is what the API got: one line each.
func pieces(r *fakeapi.Request) []string {
	_, messages := openai.Conversation(r)
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			switch p.Kind {
			case "additional_tools":
			case "text":
				got = append(got, m.Role+" text")
			case "thinking":
				got = append(got, m.Role+" thinking "+p.Text)
			case "tool_use":
				got = append(got, m.Role+" tool_use "+p.ID+" "+p.Name)
			default:
				got = append(got, m.Role+" "+p.Kind+" "+p.ID+" "+p.Text)
			}
		}
	}
	return got
}

// TestForeignReasoning: what another backend has signed is left out.
func TestForeignReasoning(t *testing.T) {
	f := start(t)
	old := assistant("a")
	for _, signature := range []string{"c2ln", "codex:{}", "codex:no", ""} {
		old.Parts = append(old.Parts, &backendv1.Part{Content: &backendv1.Part_Reasoning{Reasoning: &backendv1.Reasoning{Text: "x", Signature: []byte(signature)}}})
	}
	f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user("u"), old, user("v")}})
	if diff := cmp.Diff([]string{"user text", "assistant text", "user text"}, pieces(f.api.Log.Turns()[0])); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

// TestCodePointsCutApart: everything that the model writes comes out whole, however
// it is cut on its way here.
func TestCodePointsCutApart(t *testing.T) {
	text := "e\u0301 ✓ 😀 👩\u200d👩\u200d👧 \U0001F1E9\U0001F1EA ende"
	arguments := `{"text":"` + text + `"}`
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			r := f.run(t, &backendv1.Start{
				Messages: []*backendv1.Message{user("[[split text=" + script(text) + " thought=" + script(text) + " tool=f args=" + script(arguments) + "]]")},
				Tools:    []*backendv1.ToolSpec{{Name: "f"}},
			})
			calls, _ := activity(r)
			if r.Text != text || r.Reasoning != text || len(calls) != 1 || calls[0].GetArgumentsJson() != arguments {
				t.Errorf("text %q, reasoning %q, calls %v, %v", r.Text, r.Reasoning, calls, r.Failed)
			}
		})
	}
}

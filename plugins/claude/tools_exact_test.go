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

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// exactTools are tools whose names the CLI could take for its own, or alter, with
// schemas that it could.
func exactTools() []*backendv1.ToolSpec {
	tree := `{"type":"object","properties":{"node":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","properties":{` +
		`"next":{"$ref":"#/$defs/node"},"kind":{"const":"k"},"at":{"type":"string","format":"date-time","pattern":"^\\d+$"}}}},"additionalProperties":false}`
	var out []*backendv1.ToolSpec
	for _, name := range []string{
		"Bash", "Write", "Read", "Task", "WebSearch", "StructuredOutput", "mcp__x__y", "shell", "apply_patch", "exec_command",
		"run_shell_command", "read_file", "a-b_C-9", "9", "_", strings.Repeat("n", 64), strings.Repeat("N-", 64),
	} {
		out = append(out, &backendv1.ToolSpec{Name: name, Description: name + strings.Repeat(" ✓ long", 700), InputSchema: []byte(tree)})
	}
	out[1].InputSchema = []byte(`{"anyOf":[{"type":"object","required":["a"]},{"type":"object","required":["b"]}]}`)
	out[2].InputSchema, out[2].Description = []byte(`{"type":"object"}`), ""
	return out
}

// TestToolsAreExact: the API gets the client's tools as they are and no others.
func TestToolsAreExact(t *testing.T) {
	choices := map[string]*backendv1.ToolChoice{
		`{"type":"auto"}`:               nil,
		`{"type":"any"}`:                {Choice: &backendv1.ToolChoice_Required{Required: true}},
		`{"type":"none"}`:               {Choice: &backendv1.ToolChoice_None{None: true}},
		`{"name":"Bash","type":"tool"}`: {Choice: &backendv1.ToolChoice_Name{Name: "Bash"}},
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("hi"))
		start.Tools = exactTools()
		var want []any
		for _, tool := range start.Tools {
			w := map[string]any{"name": tool.GetName(), "input_schema": value(t, string(tool.GetInputSchema()))}
			if tool.GetDescription() != "" {
				w["description"] = tool.GetDescription()
			}
			want = append(want, w)
		}
		for choice, asked := range choices {
			start.ToolChoice = asked
			f.complete(start)
			if diff := cmp.Diff(want, f.body()["tools"]); diff != "" {
				t.Errorf("tools (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(value(t, choice), f.body()["tool_choice"]); diff != "" {
				t.Errorf("tool_choice (-want +got):\n%s", diff)
			}
		}
	})
}

// TestNothingIsCarriedOut: a call of a client's tool that is named as one of the
// CLI's is handed out and not run.
func TestNothingIsCarriedOut(t *testing.T) {
	eachReleaseWith(t, cold, func(t *testing.T, f *fixture) {
		canary := filepath.Join(f.root, "canary")
		write, _ := json.Marshal(map[string]string{"file_path": canary, "content": "x", "path": canary})
		shell, _ := json.Marshal(map[string]string{"command": "touch " + canary, "description": "touch"})
		var want []string
		script := "[[think=1 tokens=1"
		for name, arguments := range map[string][]byte{"Bash": shell, "Write": write, "shell": shell} {
			script += fmt.Sprintf(" tool=%s args=b64:%s", name, base64.StdEncoding.EncodeToString(arguments))
			want = append(want, "call "+name+" TOOL_ORIGIN_CLIENT "+string(arguments))
		}
		start := chat(user(script + "]]"))
		start.Tools = exactTools()
		r := f.complete(start)
		if diff := cmp.Diff(want, tools(r)); diff != "" || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_TOOL_CALLS {
			t.Errorf("%v; calls (-want +got):\n%s", r.Completed, diff)
		}
		if r.Text != "tok0 " || r.Reasoning != "thought0 " {
			t.Errorf("text %q, reasoning %q", r.Text, r.Reasoning)
		}
		if err := f.backend.Close(t.Context()); err != nil { // whatever the CLI still does is over
			t.Error(err)
		}
		if _, err := os.Stat(canary); !os.IsNotExist(err) {
			t.Errorf("the CLI ran a client's tool: %v", err)
		}
	})
}

// TestRoundsOfTools calls three tools at once, three times in a row; each result goes
// back to the call that it is of.
func TestRoundsOfTools(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("go [[think=1 tokens=0 tool=a tool=b tool=a]]"))
		start.Tools = []*backendv1.ToolSpec{{Name: "a"}, {Name: "b"}}
		want := []string{"user text"}
		for round := range 3 {
			r := f.complete(start)
			answer, results := assistant(), user()
			for _, e := range r.Events {
				if d := e.GetReasoningDelta(); len(d.GetSignature()) > 0 {
					answer.Parts = append(answer.Parts, reasoning(r.Reasoning, string(d.GetSignature()), false))
					want = append(want, "assistant thinking")
				}
				if c := e.GetToolCall(); c != nil {
					answer.Parts = append(answer.Parts, &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: c}})
					results.Parts = append(results.Parts, &backendv1.Part{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{
						CallId: c.GetId(), Parts: user("result of " + c.GetId()).GetParts(),
					}}})
					want = append(want, "assistant call "+c.GetId()+" "+c.GetName())
				}
			}
			if len(results.Parts) != 3 {
				t.Fatalf("round %d: %d calls", round, len(results.Parts))
			}
			for _, p := range results.GetParts() {
				want = append(want, "user result "+p.GetToolResult().GetCallId()+" result of "+p.GetToolResult().GetCallId())
			}
			// The text asks the fake for the next calls.
			results.Parts = append(results.Parts, start.GetMessages()[0].GetParts()[0])
			want = append(want, "user text")
			start.Messages = append(start.Messages, answer, results)
		}
		f.complete(start)
		if diff := cmp.Diff(want, history(f)); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
	})
}

// history is what the API got last: one line for each piece.
func history(f *fixture) []string {
	_, messages := f.received()
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			switch p.Kind {
			case "tool_use":
				got = append(got, m.Role+" call "+p.ID+" "+p.Name)
			case "tool_result":
				got = append(got, m.Role+" result "+p.ID+" "+p.Text)
			default:
				got = append(got, m.Role+" "+p.Kind)
			}
		}
	}
	return got
}

package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestClientTools hands two calls to the client and takes their results back.
func TestClientTools(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		arguments := `{"city":"Rom ✓","n":1}`
		call := " tool=Bash args=b64:" + base64.StdEncoding.EncodeToString([]byte(arguments))
		start := chat(user("[[tokens=1" + call + call + "]]"))
		schema := `{"type":"object","anyOf":[{"required":["city"]}]}`
		start.Tools = []*backendv1.ToolSpec{{Name: "Bash", Description: strings.Repeat("long ", 1200), InputSchema: []byte(schema)}}
		start.ToolChoice = &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Name{Name: "Bash"}}
		r := f.complete(start)
		want := "call Bash TOOL_ORIGIN_CLIENT " + arguments
		if diff := cmp.Diff([]string{want, want}, tools(r)); diff != "" {
			t.Errorf("tools (-want +got):\n%s", diff)
		}
		if r.Text != "tok0 " || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_TOOL_CALLS || len(r.Completed.GetLiveToken()) > 0 {
			t.Errorf("text %q, %v", r.Text, r.Completed)
		}
		body := f.body()
		tool := body["tools"].([]any)[0].(map[string]any)
		if len(tool["description"].(string)) != 6000 || tool["input_schema"].(map[string]any)["anyOf"] == nil {
			t.Errorf("tools = %v", body["tools"])
		}
		if diff := cmp.Diff(map[string]any{"type": "tool", "name": "Bash"}, body["tool_choice"]); diff != "" {
			t.Errorf("tool_choice (-want +got):\n%s", diff)
		}

		answer := assistant("tok0 ")
		results := user()
		for _, e := range r.Events {
			if c := e.GetToolCall(); c != nil {
				answer.Parts = append(answer.Parts, &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: c}})
				results.Parts = append(results.Parts, &backendv1.Part{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{
					CallId: c.GetId(), IsError: len(results.Parts) > 0, Parts: user("sunny").Parts,
				}}})
			}
		}
		start.Messages = append(start.Messages, answer, results)
		start.ToolChoice = nil
		f.complete(start)
		_, messages := f.received()
		input := `{"city":"Rom ✓","n":1}`
		wantWords := []string{"assistant text tok0 ", "assistant tool_use " + input, "assistant tool_use " + input, "user tool_result sunny", "user tool_result sunny error"}
		var got []string
		for _, m := range messages[1:] {
			for _, p := range m.Parts {
				line := m.Role + " " + p.Kind + " " + p.Text
				if p.IsError {
					line += " error"
				}
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(wantWords, got); diff != "" {
			t.Errorf("history (-want +got):\n%s", diff)
		}
		if n := len(f.api.Log.Turns()); n != 2 {
			t.Errorf("%d model calls for two turns", n)
		}
	})
}

// TestCallCutShort: arguments that end in the middle go out as far as they came, and
// the answer says that it was cut.
func TestCallCutShort(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, arguments := range []string{`{"city":"Ro`, `{`, "  ", `{"a":1}`} {
			f.api.Log.Reset()
			start := chat(user("[[tokens=1 finish=length tool=f args=b64:" + base64.StdEncoding.EncodeToString([]byte(arguments)) + "]]"))
			start.Tools = []*backendv1.ToolSpec{{Name: "f"}}
			r := f.complete(start)
			if diff := cmp.Diff([]string{"call f TOOL_ORIGIN_CLIENT " + arguments}, tools(r)); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			pieces := ""
			for _, e := range r.Events {
				pieces += e.GetToolCallDelta().GetArgumentsJson()
			}
			if pieces != arguments {
				t.Errorf("the pieces add up to %q, want %q", pieces, arguments)
			}
			if reason := r.Completed.GetFinishReason(); reason != backendv1.FinishReason_FINISH_REASON_LENGTH {
				t.Errorf("%q: %v", arguments, reason)
			}
			if n := len(f.api.Log.Turns()); n != 1 {
				t.Errorf("%q: %d model calls", arguments, n)
			}
		}
	})
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

func TestClientTools(t *testing.T) {
	s := common(t)
	tools := []*backendv1.ToolSpec{
		{Name: "get_weather", Description: "the $WEATHER", InputSchema: []byte(`{"type":"object","properties":{"city":{"type":"string"}},"$defs":{"a":{}}}`)},
		{Name: "read_file", Description: "named as one of the CLI's own"},
	}
	start := chat(user("weather " + toolScript("get_weather", `{"city":"$HOME"}`) + toolScript("read_file", `{"file_path":"/etc/passwd"}`)))
	start.Tools = tools
	r, req := s.complete(t, start)
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_TOOL_CALLS {
		t.Errorf("completed = %v", r.Completed)
	}
	if diff := cmp.Diff([]string{"get_weather", "read_file"}, gemini.Tools(req)); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	want := []any{map[string]any{"functionDeclarations": []any{
		map[string]any{
			"name": "get_weather", "description": "the $WEATHER",
			"parametersJsonSchema": map[string]any{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "$defs": map[string]any{"a": map[string]any{}}},
		},
		map[string]any{"name": "read_file", "description": "named as one of the CLI's own"},
	}}}
	if diff := cmp.Diff(want, body(t, req)["tools"]); diff != "" {
		t.Errorf("declarations (-want +got):\n%s", diff)
	}
	var calls []*backendv1.ToolCall
	for _, e := range r.Events {
		if c := e.GetToolCall(); c != nil {
			calls = append(calls, c)
		}
	}
	if len(calls) != 2 || calls[0].GetArgumentsJson() != `{"city":"$HOME"}` || calls[1].GetName() != "read_file" ||
		calls[0].GetOrigin() != backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT || calls[0].GetId() == calls[1].GetId() {
		t.Fatalf("calls = %v", calls)
	}

	// The results come back as history.
	start.Messages = append(start.Messages,
		&backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{
			{Content: &backendv1.Part_ToolCall{ToolCall: calls[0]}}, {Content: &backendv1.Part_ToolCall{ToolCall: calls[1]}},
		}},
		&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{
			{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{CallId: calls[0].GetId(), Parts: []*backendv1.Part{textPart("rain $HOME")}}}},
			{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{CallId: calls[1].GetId(), IsError: true, Parts: []*backendv1.Part{textPart("no")}}}},
		}})
	r, req = s.complete(t, start)
	if r.Text != "tok0 tok1 tok2 " || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("text %q, completed %v", r.Text, r.Completed)
	}
	_, messages := gemini.Conversation(req)
	var got []string
	for _, m := range messages[1:] {
		for _, p := range m.Parts {
			got = append(got, strings.Join([]string{m.Role, p.Kind, p.Name, p.Text}, " "))
		}
	}
	wantHistory := []string{
		`model tool_use get_weather {"city":"$HOME"}`, `model tool_use read_file {"file_path":"/etc/passwd"}`,
		`user tool_result get_weather {"output":"rain $HOME"}`, `user tool_result read_file {"error":"no"}`,
	}
	if diff := cmp.Diff(wantHistory, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
}

func TestToolChoice(t *testing.T) {
	s := common(t)
	tests := []struct {
		choice *backendv1.ToolChoice
		want   any
	}{
		{nil, nil},
		{&backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Required{Required: true}}, map[string]any{"mode": "ANY"}},
		{&backendv1.ToolChoice{Choice: &backendv1.ToolChoice_None{None: true}}, map[string]any{"mode": "NONE"}},
		{&backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Name{Name: "a"}}, map[string]any{"mode": "ANY", "allowedFunctionNames": []any{"a"}}},
	}
	for _, tt := range tests {
		start := chat(user("hi"))
		start.Tools = []*backendv1.ToolSpec{{Name: "a"}}
		start.ToolChoice = tt.choice
		_, req := s.complete(t, start)
		var got any
		if c, ok := body(t, req)["toolConfig"].(map[string]any); ok {
			got = c["functionCallingConfig"]
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("choice %v (-want +got):\n%s", tt.choice, diff)
		}
	}
}

// TestCallsOfAnswersThatAreCutShort: the calls are there, and so is why there are no more.
func TestCallsOfAnswersThatAreCutShort(t *testing.T) {
	s := common(t)
	for finish, want := range map[string]backendv1.FinishReason{
		"length": backendv1.FinishReason_FINISH_REASON_LENGTH,
		"filter": backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER,
	} {
		for _, tokens := range []string{"0", "1"} {
			start := chat(user("[[tokens=" + tokens + " tool=a finish=" + finish + "]]"))
			start.Tools = []*backendv1.ToolSpec{{Name: "a"}}
			r, _ := s.complete(t, start)
			if _, calls := returned(r); len(calls) != 1 || r.Completed.GetFinishReason() != want {
				t.Errorf("%s after %s tokens: %v, completed %v", finish, tokens, calls, r.Completed)
			}
		}
	}
}

// TestSchemaBesideTools: models before Gemini 3 refuse a schema beside tools, the
// CLI's own as well; it is then in the instructions.
func TestSchemaBesideTools(t *testing.T) {
	s := common(t)
	const schema = `{"type":"object","required":["$HOME"]}`
	tools := []*backendv1.ToolSpec{{Name: "a"}}
	agent := backendv1.Mode_MODE_AGENT
	for name, test := range map[string]struct {
		model, schema string
		mode          backendv1.Mode
		tools         []*backendv1.ToolSpec
		inWords       string // empty: it is not
	}{
		"older":           {"gemini-2.5-pro", schema, 0, tools, schema},
		"JSON mode":       {"gemini-2.5-pro", `{"type":"object"}`, 0, tools, "one JSON object"},
		"agent":           {"gemini-2.5-pro", schema, agent, nil, schema},
		"unknown":         {"some-model", schema, 0, tools, schema},
		"no tools":        {"gemini-2.5-pro", schema, 0, nil, ""},
		"newer":           {"gemini-3.8-flash", schema, 0, tools, ""},
		"newer and agent": {"gemini-3.8-flash", schema, agent, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			start := chat(user("hi"))
			start.System, start.Model, start.Mode, start.Tools, start.OutputSchema = "be kind", test.model, test.mode, test.tools, []byte(test.schema)
			_, req := s.complete(t, start)
			system, messages := gemini.Conversation(req)
			if test.mode == agent { // where they are the first message
				system = messages[0].Text()
			}
			g := gemini.GenerationConfig(req)
			inWords := test.inWords != "" && strings.HasPrefix(system, "be kind\n\n") && strings.Contains(system, test.inWords)
			if inWords != (test.inWords != "") || (g["responseMimeType"] == nil) != inWords || (g["responseJsonSchema"] == nil) != inWords {
				t.Errorf("instructions %q, generation settings %v", system, g)
			}
		})
	}
}

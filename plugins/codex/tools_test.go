package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

func TestClientTools(t *testing.T) {
	for _, transport := range transports {
		for _, model := range []string{"", "gpt-5.5"} {
			t.Run(transport.name+" "+model, func(t *testing.T) {
				f := start(t, withSettings(transport.settings))
				tools := []*backendv1.ToolSpec{
					{Name: "get_weather", Description: "weather", InputSchema: []byte(`{"type":"object","properties":{"city":{"type":"string"}}}`)},
					{Name: "mcp__files__read"},
				}
				args := `{"city": "Rome",  "n":1.0}`
				prompt := "weather? [[tokens=1 tool=get_weather args=b64:" + base64.StdEncoding.EncodeToString([]byte(args)) +
					" tool=client_mcp__files__read args={}]]"
				messages := []*backendv1.Message{user(prompt)}
				r := f.run(t, &backendv1.Start{Model: model, Messages: messages, Tools: tools})
				if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_TOOL_CALLS || r.Text != "tok0 " {
					t.Fatalf("text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
				}
				if r.Completed.GetUsage().GetInputTokens() != openai.InputTokens {
					t.Errorf("usage %v", r.Completed.GetUsage())
				}
				calls, _ := activity(r)
				var got []string
				reply := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: message(0, r.Text).GetParts()}
				results := &backendv1.Message{Role: backendv1.Role_ROLE_USER}
				for _, c := range calls {
					got = append(got, c.GetName()+" "+c.GetArgumentsJson()+" "+c.GetOrigin().String())
					reply.Parts = append(reply.Parts, &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: c}})
					results.Parts = append(results.Parts, &backendv1.Part{Content: &backendv1.Part_ToolResult{
						ToolResult: &backendv1.ToolResult{CallId: c.GetId(), Parts: message(0, "sunny").GetParts()},
					}})
				}
				want := []string{"get_weather " + args + " TOOL_ORIGIN_CLIENT", "mcp__files__read {} TOOL_ORIGIN_CLIENT"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				r = f.run(t, &backendv1.Start{Model: model, Messages: append(messages, reply, results), Tools: tools})
				if r.Text != "tok0 " || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
					t.Errorf("text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
				}
				checkToolConversation(t, f, args)
			})
		}
	}
}

func checkToolConversation(t *testing.T, f *fixture, args string) {
	t.Helper()
	turns := f.api.Log.Turns()
	if len(turns) != 2 {
		t.Fatalf("%d model calls", len(turns))
	}
	_, messages := openai.Conversation(turns[1])
	if lite := f.backend.isLite(turnModel(t, turns[1])); lite != strings.Contains(string(turns[1].Body), `"namespace":"functions"`) {
		t.Errorf("the model has its tools in a namespace: %v, the request: %s", lite, turns[1].Body)
	}
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			if p.Kind != "additional_tools" {
				got = append(got, m.Role+" "+p.Kind+" "+p.Name+" "+p.Text)
			}
		}
	}
	if len(got) == 0 || !strings.HasPrefix(got[0], "user text  weather?") {
		t.Fatalf("the conversation is %q", got)
	}
	want := []string{
		"assistant text  tok0 ", "assistant tool_use get_weather " + args, "assistant tool_use client_mcp__files__read {}",
		"tool tool_result  sunny", "tool tool_result  sunny",
	}
	if diff := cmp.Diff(want, got[1:]); diff != "" {
		t.Errorf("the conversation (-want +got):\n%s", diff)
	}
}

func turnModel(t *testing.T, r *fakeapi.Request) string {
	t.Helper()
	var body struct{ Model string }
	if err := json.Unmarshal(r.Body, &body); err != nil {
		t.Fatal(err)
	}
	return body.Model
}

func TestClientToolsThatCannotBe(t *testing.T) {
	f := start(t)
	tests := []struct {
		name  string
		start *backendv1.Start
		code  backendv1.ErrorCode
	}{
		{"name", &backendv1.Start{Tools: []*backendv1.ToolSpec{{Name: "a b"}}}, backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST},
		{"twice", &backendv1.Start{Tools: []*backendv1.ToolSpec{{Name: "a"}, {Name: "a"}}}, backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST},
		{"agent", &backendv1.Start{Mode: backendv1.Mode_MODE_AGENT, Tools: []*backendv1.ToolSpec{{Name: "a"}}}, backendv1.ErrorCode_ERROR_CODE_UNSUPPORTED},
		{"arguments", &backendv1.Start{ExtraArguments: []string{"--yolo"}}, backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.start.Messages = []*backendv1.Message{user("hi")}
			r := f.run(t, test.start)
			if r.Failed.GetCode() != test.code {
				t.Errorf("failed = %v", r.Failed)
			}
		})
	}
}

// TestIncompleteCalls: an answer that ends too early, with calls that are whole, ends
// the turn with its reason and these calls, and soon.
func TestIncompleteCalls(t *testing.T) {
	tests := []struct {
		name, script, text string
		calls              int
	}{
		{"text and a call", "tokens=1 tool=a", "tok0 ", 1},
		{"a call", "tokens=0 tool=a", "", 1},
		{"a whole and a cut call", "tokens=1 tool=a tool=b args={", "tok0 ", 1},
		{"a whole and a cut call without text", "tokens=0 tool=a tool=b args={", "", 1},
		{"a cut call", "tokens=1 tool=a args={", "tok0 ", 0},
		{"a cut call without text", "tokens=0 tool=a args={", "", 0},
	}
	ends := map[string]backendv1.FinishReason{
		"length": backendv1.FinishReason_FINISH_REASON_LENGTH,
		"filter": backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER,
	}
	for _, transport := range transports {
		f := start(t, withSettings(transport.settings))
		f.warmUp(t)
		for _, test := range tests {
			for finish, reason := range ends {
				t.Run(transport.name+"/"+test.name+"/"+finish, func(t *testing.T) {
					f.api.Log.Reset()
					r := f.run(t, &backendv1.Start{
						Messages: []*backendv1.Message{user("[[" + test.script + " finish=" + finish + "]]")},
						Tools:    []*backendv1.ToolSpec{{Name: "a"}, {Name: "b"}},
					})
					calls, _ := activity(r)
					if r.Completed.GetFinishReason() != reason || r.Text != test.text || len(calls) != test.calls {
						t.Errorf("text %q, calls %v, completed %v, failed %v", r.Text, calls, r.Completed, r.Failed)
					}
					if n := len(f.api.Log.Turns()); n != 1 {
						t.Errorf("%d model calls", n)
					}
				})
			}
		}
	}
}

// TestSlowCalls: a call that the model takes long to write is not given up after the
// one before it.
func TestSlowCalls(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	r := f.run(t, &backendv1.Start{
		Messages: []*backendv1.Message{user(fmt.Sprintf("[[tokens=1 gap=%v tool=a tool=b]]", heldTime+heldTime/2))},
		Tools:    []*backendv1.ToolSpec{{Name: "a"}, {Name: "b"}},
	})
	calls, _ := activity(r)
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_TOOL_CALLS || len(calls) != 2 || len(f.api.Log.Turns()) != 1 {
		t.Errorf("calls %v, completed %v, failed %v", calls, r.Completed, r.Failed)
	}
}

// TestConnectionLostAfterACall: the turn fails, and soon.
func TestConnectionLostAfterACall(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			r := f.run(t, &backendv1.Start{
				Messages: []*backendv1.Message{user("[[tokens=1 tool=a cut=2]]")},
				Tools:    []*backendv1.ToolSpec{{Name: "a"}},
			})
			if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE || len(f.api.Log.Turns()) != 1 {
				t.Errorf("completed %v, failed %v", r.Completed, r.Failed)
			}
		})
	}
}

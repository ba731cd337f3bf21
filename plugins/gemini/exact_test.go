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
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

func value(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

func encoded(text string) string { return "b64:" + base64.StdEncoding.EncodeToString([]byte(text)) }

func blob(mediaType string, data []byte) *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{MediaType: mediaType, Source: &backendv1.Blob_Data{Data: data}}}}
}

// TestMedia gives a file of each declared type in a message and in a tool's result;
// each stays where it was while the conversation grows.
func TestMedia(t *testing.T) {
	s := common(t)
	for _, model := range []string{"gemini-2.5-pro", "gemini-3.8-flash"} {
		t.Run(model, func(t *testing.T) {
			start := chat()
			start.Model = model
			var want []string
			for i, mediaType := range s.backend.InputMediaTypes() {
				data := []byte(fmt.Sprintf("%d \xff\x00$HOME", i))
				name, id := mediaType+" "+string(data), fmt.Sprintf("call_%d", i)
				call := &backendv1.ToolCall{Id: id, Name: "look", ArgumentsJson: "{}", Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT}
				result := &backendv1.ToolResult{CallId: id, Parts: []*backendv1.Part{textPart("seen"), blob(mediaType, data)}, IsError: i == 1}
				start.Messages = append(start.Messages,
					&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{textPart("before"), blob(mediaType, data), textPart("after")}},
					&backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolCall{ToolCall: call}}}},
					&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolResult{ToolResult: result}}}})
				output := map[bool]string{false: `{"output":"seen"}`, true: `{"error":"seen"}`}[i == 1]
				place := "beside "
				if image := strings.HasPrefix(mediaType, "image/") || mediaType == "application/pdf"; image && strings.HasPrefix(model, "gemini-3") {
					place = "inside "
				}
				want = append(want, "user before", "user beside "+name, "user after", "model tool_use "+id, "user "+output, "user "+place+name)
			}
			_, req := s.complete(t, start)
			if diff := cmp.Diff(want, received(t, req)); diff != "" {
				t.Errorf("conversation (-want +got):\n%s", diff)
			}
		})
	}
}

// received is what the API got: one line for each piece.
func received(t *testing.T, req *fakeapi.Request) []string {
	t.Helper()
	_, messages := gemini.Conversation(req)
	var got []string
	medium := func(where string, p gemini.Part) {
		data, err := base64.StdEncoding.DecodeString(p.Text)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, where+p.Name+" "+string(data))
	}
	for _, m := range messages {
		for _, p := range m.Parts {
			switch p.Kind {
			case "image":
				medium(m.Role+" beside ", p)
			case "tool_use":
				got = append(got, m.Role+" tool_use "+p.ID)
			default:
				got = append(got, m.Role+" "+p.Text)
			}
			for _, inner := range p.Content {
				medium(m.Role+" inside ", inner)
			}
		}
	}
	return got
}

// TestSchemaIsExact: what the provider cannot enforce is the provider's to say.
func TestSchemaIsExact(t *testing.T) {
	s := common(t)
	schema := `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":false,"required":["z","a"],` +
		`"properties":{"z":{"const":1,"description":"$HOME ✓"},"a":{"anyOf":[{"$ref":"#/$defs/x"},{"type":"null"}]},"free":{},"$HOME":{"type":["string","null"]}},` +
		`"$defs":{"x":{"enum":["q",null,1.5],"pattern":"^a$","minLength":3,"format":"date"}}}`
	answer := `{"z":1,"a":null}`
	start := chat(user("[[split text=" + encoded(answer) + "]]"))
	for _, tools := range [][]*backendv1.ToolSpec{nil, {{Name: "a"}}} {
		start.OutputSchema, start.Tools = []byte(schema), tools
		r, req := s.complete(t, start)
		if r.Text != answer || r.TextDeltas < 10 {
			t.Errorf("text %q in %d deltas", r.Text, r.TextDeltas)
		}
		g := gemini.GenerationConfig(req)
		if diff := cmp.Diff(value(t, schema), g["responseJsonSchema"]); diff != "" || g["responseMimeType"] != "application/json" || g["responseSchema"] != nil {
			t.Errorf("%v; schema (-want +got):\n%s", g, diff)
		}
	}
	start.OutputSchema = []byte(`{"type":"object"}`) // which is what the type alone asks for
	_, req := s.complete(t, start)
	if g := gemini.GenerationConfig(req); g["responseMimeType"] != "application/json" || g["responseJsonSchema"] != nil {
		t.Errorf("any object: %v", g)
	}
}

func TestToolsAreExact(t *testing.T) {
	s := common(t)
	schema := `{"type":"object","properties":{"node":{"$ref":"#/$defs/node"},"at":{"type":"string","format":"date-time","pattern":"^$"},"k":{"const":"$HOME"}},` +
		`"required":["node"],"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}},"additionalProperties":false}`
	start := chat(user("hi"))
	var want []any
	for _, name := range []string{
		"Bash", "write_file", "read_file", "run_shell_command", "activate_skill", "mcp_t_x", "shell", "apply_patch", "a-b_C-9", "_",
		strings.Repeat("n", 64), strings.Repeat("N-", 64),
	} {
		description := name + strings.Repeat(" ✓ $HOME", 750)
		start.Tools = append(start.Tools, &backendv1.ToolSpec{Name: name, Description: description, InputSchema: []byte(schema)})
		want = append(want, map[string]any{"name": name, "description": description, "parametersJsonSchema": value(t, schema)})
	}
	root := `{"anyOf":[{"type":"object","required":["a"]},{"type":"object"}]}`
	start.Tools[1].InputSchema, want[1].(map[string]any)["parametersJsonSchema"] = []byte(root), value(t, root)
	start.Tools[2].InputSchema = nil
	delete(want[2].(map[string]any), "parametersJsonSchema")
	_, req := s.complete(t, start)
	if diff := cmp.Diff([]any{map[string]any{"functionDeclarations": want}}, body(t, req)["tools"]); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
}

// TestRoundsOfTools calls three tools at once, three times in a row. The signature
// that comes with the first call is given back with it: newer models demand that.
// None of the calls is carried out.
func TestRoundsOfTools(t *testing.T) {
	s := common(t)
	canary := filepath.Join(t.TempDir(), "canary")
	arguments := fmt.Sprintf(`{"command":"touch %s","file_path":"%[1]s","content":"x"}`, canary)
	prompt := user("go [[think=2 tokens=1 tool=run_shell_command args=" + encoded(arguments) + " tool=write_file args=" + encoded(arguments) + " tool=write_file]]")
	start := chat(prompt)
	start.Tools = []*backendv1.ToolSpec{{Name: "run_shell_command"}, {Name: "write_file"}}
	want := []string{"user text"}
	for round := range 3 {
		r, _ := s.complete(t, start)
		answer, calls := returned(r)
		if len(calls) != 3 || calls[0].GetArgumentsJson() != arguments || calls[2].GetName() != "write_file" || r.Text != "tok0 " {
			t.Fatalf("round %d: text %q, calls %v", round, r.Text, calls)
		}
		want = append(want, "model text")
		results := &backendv1.Message{Role: backendv1.Role_ROLE_USER}
		signature := gemini.Signature
		for _, c := range calls {
			results.Parts = append(results.Parts, &backendv1.Part{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{
				CallId: c.GetId(), Parts: []*backendv1.Part{textPart("r")},
			}}})
			want = append(want, "model call "+c.GetId()+" "+c.GetName()+" "+signature)
			signature = ""
		}
		for _, c := range calls {
			want = append(want, "user result "+c.GetId()+" "+c.GetName())
		}
		results.Parts = append(results.Parts, prompt.GetParts()...)
		want = append(want, "user text")
		start.Messages = append(start.Messages, answer, results)
	}
	_, req := s.complete(t, start)
	if diff := cmp.Diff(want, called(req)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(canary); !os.IsNotExist(err) {
		t.Errorf("the CLI ran a client's tool: %v", err)
	}
}

// returned is an answer as a client gives it back.
func returned(r *backendtest.Result) (*backendv1.Message, []*backendv1.ToolCall) {
	m := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{textPart(r.Text)}}
	var calls []*backendv1.ToolCall
	for _, e := range r.Events {
		if d := e.GetReasoningDelta(); len(d.GetSignature()) > 0 {
			m.Parts = append(m.Parts, &backendv1.Part{Content: &backendv1.Part_Reasoning{Reasoning: &backendv1.Reasoning{Signature: d.GetSignature()}}})
		}
		if c := e.GetToolCall(); c != nil {
			m.Parts = append(m.Parts, &backendv1.Part{Content: &backendv1.Part_ToolCall{ToolCall: c}})
			calls = append(calls, c)
		}
	}
	return m, calls
}

func called(req *fakeapi.Request) []string {
	_, messages := gemini.Conversation(req)
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			switch p.Kind {
			case "tool_use":
				got = append(got, m.Role+" call "+p.ID+" "+p.Name+" "+p.Signature)
			case "tool_result":
				got = append(got, m.Role+" result "+p.ID+" "+p.Name)
			default:
				got = append(got, m.Role+" "+p.Kind)
			}
		}
	}
	return got
}

// TestCodePointsCutApart: everything that the model writes comes out whole, however
// it is cut on its way here.
func TestCodePointsCutApart(t *testing.T) {
	s := common(t)
	text := "e\u0301 ✓ 😀 👩\u200d👩\u200d👧 \U0001F1E9\U0001F1EA ende"
	arguments := `{"text":"` + text + `"}`
	start := chat(user("[[split text=" + encoded(text) + " tool=f args=" + encoded(arguments) + "]]"))
	start.Tools = []*backendv1.ToolSpec{{Name: "f"}}
	r, _ := s.complete(t, start)
	if _, calls := returned(r); r.Text != text || len(calls) != 1 || calls[0].GetArgumentsJson() != arguments {
		t.Errorf("text %q, calls %v", r.Text, calls)
	}
	// A thought comes whole: of several the CLI drops the space between.
	r, _ = s.complete(t, chat(user("[[text="+encoded(text)+" thought="+encoded(text)+"]]")))
	if r.Text != text || r.Reasoning != text {
		t.Errorf("text %q, reasoning %q", r.Text, r.Reasoning)
	}
}

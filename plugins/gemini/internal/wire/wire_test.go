package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/clinvk/clinvk/plugins"
)

func number(n int64) *int64 { return &n }

func TestContents(t *testing.T) {
	messages := []plugins.Message{
		{Role: plugins.RoleUser, Parts: []plugins.Part{plugins.Text("a"), plugins.Blob{MediaType: "image/png", Data: []byte("x")}}},
		{Role: plugins.RoleAssistant, Parts: []plugins.Part{
			plugins.Reasoning{Text: "hm"}, plugins.Text("b"),
			plugins.ToolCall{ID: "1", Name: "f", Arguments: `{"n":12345678901234567890}`}, plugins.ToolCall{ID: "2", Name: "g"},
		}},
		{Role: plugins.RoleUser, Parts: []plugins.Part{
			plugins.ToolResult{CallID: "1", Parts: []plugins.Part{plugins.Text("r"), plugins.Blob{MediaType: "image/png", Data: []byte("y")}}},
			plugins.ToolResult{CallID: "2", IsError: true, Parts: []plugins.Part{plugins.Text("no")}},
		}},
		{Role: plugins.RoleUser},
	}
	contents, err := Contents("gemini-2.5-pro", messages)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(contents)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"image/png","data":"eA=="}}]},` +
		`{"role":"model","parts":[{"text":"b"},{"functionCall":{"id":"1","name":"f","args":{"n":12345678901234567890}},"thoughtSignature":"skip_thought_signature_validator"},{"functionCall":{"id":"2","name":"g","args":{}}}]},` +
		`{"role":"user","parts":[{"functionResponse":{"id":"1","name":"f","response":{"output":"r"}}},{"inlineData":{"mimeType":"image/png","data":"eQ=="}},{"functionResponse":{"id":"2","name":"g","response":{"error":"no"}}}]},` +
		`{"role":"user","parts":[{"text":""}]}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("contents (-want +got):\n%s", diff)
	}
	for signature, want := range map[string]string{"gemini:own": "own", "c2ln": noSignature, "codex:{}": noSignature, "": noSignature} {
		contents, err := Contents("gemini-3.8-flash", []plugins.Message{
			{Role: plugins.RoleAssistant, Parts: []plugins.Part{
				plugins.Reasoning{Signature: []byte(signature)}, plugins.ToolCall{ID: "1", Name: "f"}, plugins.ToolCall{ID: "2", Name: "f"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if p := contents[0].Parts; len(p) != 2 || p[0].ThoughtSignature != want || p[1].ThoughtSignature != "" {
			t.Errorf("signature %q: %+v", signature, p)
		}
	}
	for name, bad := range map[string]plugins.Part{
		"result without call": plugins.ToolResult{CallID: "?"},
	} {
		if _, err := Contents("", []plugins.Message{{Role: plugins.RoleUser, Parts: []plugins.Part{bad}}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestArguments(t *testing.T) {
	for arguments, want := range map[string]string{
		"": `{}`, " ": `{}`, "null": `{}`, `{"a": 1}`: `{"a": 1}`,
		"[1]": `{"arguments":"[1]"}`, `{"a":`: `{"arguments":"{\"a\":"}`, "3": `{"arguments":"3"}`, `"x"`: `{"arguments":"\"x\""}`,
	} {
		contents, err := Contents("", []plugins.Message{{Role: plugins.RoleAssistant, Parts: []plugins.Part{
			plugins.ToolCall{ID: "1", Name: "f", Arguments: arguments},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(contents[0].Parts[0].FunctionCall.Args); got != want {
			t.Errorf("%q is %s, want %s", arguments, got, want)
		}
	}
}

func TestThinking(t *testing.T) {
	tests := []struct {
		model, effort string
		tokens        *int64
		want          string
	}{
		{"gemini-2.5-flash", "", nil, `null`},
		{"gemini-2.5-flash", "none", nil, `{"thinkingBudget":0}`},
		{"gemini-2.5-pro", "none", nil, `{"thinkingBudget":128}`},
		{"gemini-2.5-pro", "high", nil, `{"thinkingBudget":24576}`},
		{"gemini-2.5-flash", "high", number(5), `{"thinkingBudget":5}`},
		{"gemini-3.8-flash", "none", nil, `{"thinkingLevel":"MINIMAL"}`},
		{"gemini-3.8-flash", "medium", nil, `{"thinkingLevel":"MEDIUM"}`},
		{"gemini-3.8-flash", "high", nil, `{"thinkingLevel":"HIGH"}`},
		{"gemini-3.8-flash", "", number(1000), `{"thinkingLevel":"LOW"}`},
		{"gemini-3.8-flash", "ultra", nil, `{"thinkingLevel":"ULTRA"}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(NewGeneration(tt.model, plugins.Sampling{ReasoningEffort: tt.effort, ReasoningTokens: tt.tokens}, nil).Thinking)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s %q: %s, want %s (%v)", tt.model, tt.effort, got, tt.want, err)
		}
	}
}

// resolve does what the CLI does with the strings of its settings.
func resolve(v any, env map[string]string) any {
	switch v := v.(type) {
	case string:
		return variable.ReplaceAllStringFunc(v, func(m string) string {
			name := strings.Trim(m, "${}")
			if value, ok := env[name]; ok {
				return value
			}
			return m
		})
	case []any:
		for i := range v {
			v[i] = resolve(v[i], env)
		}
	case map[string]any:
		for k := range v {
			v[k] = resolve(v[k], env)
		}
	}
	return v
}

var variable = regexp.MustCompile(`\$(\w+|{[^}]+})`)

// FuzzEscape has any text survive the CLI's reading of its settings, in every
// place of a body.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"$HOME", "${HOME}", `"$x": "\$`, `\`, "$", "$$HOME", "é$\u2028", "a\x00b", `": "$HOME`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "?")
		if s == "" {
			return // no instructions: nothing is sent
		}
		key := "k" + strings.ReplaceAll(s, "\x00", "")
		args, err := json.Marshal(map[string]any{key: []any{s, 1}})
		if err != nil {
			t.Skip()
		}
		contents, err := Contents("", []plugins.Message{{Role: plugins.RoleAssistant, Parts: []plugins.Part{
			plugins.Text(s), plugins.ToolCall{ID: s, Name: s, Arguments: string(args)},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		settings, err := Body{Contents: contents, System: s, Tools: []plugins.Tool{{Name: s, InputSchema: args}}, Generation: Generation{StopSequences: []string{s}}}.Settings()
		if err != nil {
			t.Fatal(err)
		}
		var parsed any
		if err := json.Unmarshal(settings, &parsed); err != nil {
			t.Fatalf("no JSON: %v", err)
		}
		parsed = resolve(parsed, map[string]string{Dollar: "$", "HOME": "leaked", "x": "leaked", "PATH": "leaked"})
		body := parsed.(map[string]any)["modelConfigs"].(map[string]any)["customOverrides"].([]any)[0].(map[string]any)["modelConfig"].(map[string]any)["generateContentConfig"].(map[string]any)["httpOptions"].(map[string]any)["extraBody"].(map[string]any)
		parts := body["contents"].([]any)[0].(map[string]any)["parts"].([]any)
		call := parts[1].(map[string]any)["functionCall"].(map[string]any)
		for place, got := range map[string]any{
			"text":   parts[0].(map[string]any)["text"],
			"system": body["systemInstruction"].(map[string]any)["parts"].([]any)[0].(map[string]any)["text"],
			"call":   call["name"],
			"value":  call["args"].(map[string]any)[key].([]any)[0],
			"stop":   body["generationConfig"].(map[string]any)["stopSequences"].([]any)[0],
		} {
			if got != s {
				t.Errorf("%s = %q, want %q", place, got, s)
			}
		}
	})
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecord(t *testing.T) {
	got, err := Record(golden(t, "record.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	usage := plugins.Usage{InputTokens: number(100), OutputTokens: number(7), CacheReadTokens: number(30), ReasoningTokens: number(2)}
	want := []Response{
		{Finish: "MAX_TOKENS", Usage: usage},
		{Finish: "STOP", Usage: plugins.Usage{InputTokens: number(100), OutputTokens: number(5)}, Calls: []FunctionCall{
			{ID: "get_weather__get_weather_1795441850532_0", Name: "get_weather", Args: json.RawMessage(`{"city":"$HOME"}`), Signature: "c2ln"},
			{ID: "get_weather__get_weather_1795441850532_1", Name: "get_weather", Args: json.RawMessage(`{"city":"B"}`)},
		}},
		{Blocked: true, Usage: plugins.Usage{InputTokens: number(9)}},
		{Usage: usage},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Response{}, "Parts")); diff != "" {
		t.Errorf("responses (-want +got):\n%s", diff)
	}
	total := plugins.Usage{InputTokens: number(309), OutputTokens: number(19), CacheReadTokens: number(60), ReasoningTokens: number(4)}
	if diff := cmp.Diff(total, Total(got)); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
	if _, err := Record([]byte("{\"method\":")); err == nil {
		t.Error("half a line passed")
	}
}

func FuzzRecord(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "record.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for line := range bytes.Lines(b) {
		f.Add(line)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		responses, _ := Record(b)
		Total(responses)
		Outputs(b)
		_, _ = Said(b, responses)
	})
}

func TestOutputs(t *testing.T) {
	want := map[string]Output{
		"run_shell_command__1_0": {Text: "Output: hi\nProcess Group PGID: 1"},
		"read_file__2_1":         {Text: "secret content"},
		"write_file__3_2":        {Text: "cannot", Error: true},
	}
	if diff := cmp.Diff(want, Outputs(golden(t, "session.jsonl"))); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
}

func TestSeed(t *testing.T) {
	hi, blank := "/help", " "
	seed := Seed{SessionID: "11111111-1111-4111-8111-111111111111", Bare: true, Now: time.Unix(0, 0), Contents: []Content{
		{Role: "user", Parts: []Part{{Text: &hi}}},
		{Role: "model", Parts: []Part{{Text: &blank}}},
		{Role: "model", Parts: []Part{{FunctionCall: &FunctionCall{ID: "1", Name: "f", Args: json.RawMessage("{}")}}}},
		{Role: "user", Parts: []Part{{FunctionResponse: &FunctionResponse{ID: "1", Name: "f", Response: json.RawMessage("{}")}}}},
	}}
	file, err := seed.File()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden(t, "seed.jsonl")), string(file)); diff != "" {
		t.Errorf("file (-want +got):\n%s", diff)
	}
	if n := seed.Echoes(); n != 4 {
		t.Errorf("echoes = %d, want 4: three messages that are not blank and the added one", n)
	}
}

func TestSystemFile(t *testing.T) {
	tests := []struct {
		system, file string
		exact        bool
	}{
		{"", "", true},
		{"plain $HOME ${x}\n\nb", "plain $HOME ${x}\n\nb", true},
		{"a ${AgentSkills} b", "a $${SubAgents}{AgentSkills} b", true},
		{" a", " a", false},
		{"a\n", "a\n", false},
		{"\ufeffa", "\ufeffa", false},
		{"a\n\n\nb", "a\n\n\nb", false},
		{"${SubAgents}", "${SubAgents}", false},
		{"${AvailableTools}", "${AvailableTools}", false},
	}
	for _, tt := range tests {
		if file, exact := SystemFile(tt.system); file != tt.file || exact != tt.exact {
			t.Errorf("%q: %q, exact %v", tt.system, file, exact)
		}
	}
}

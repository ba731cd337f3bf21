package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

func TestPlain(t *testing.T) {
	s := common(t)
	r, req := s.complete(t, chat(user("hello [[tokens=20 gap=20ms]]")))
	script, _ := fakeapi.ParseScript("[[tokens=20]]")
	if r.Text != script.Answer() {
		t.Errorf("text = %q", r.Text)
	}
	if r.Started.GetModel() != defaultModel || r.Started.GetLive() {
		t.Errorf("started = %v", r.Started)
	}
	if r.TextDeltas < 15 {
		t.Errorf("%d deltas", r.TextDeltas)
	}
	if spread := r.At[len(r.At)-1] - r.At[1]; spread < 300*time.Millisecond {
		t.Errorf("the deltas came within %v", spread)
	}
	if got := r.Completed.GetFinishReason(); got != backendv1.FinishReason_FINISH_REASON_STOP {
		t.Errorf("finish = %v", got)
	}
	u := r.Completed.GetUsage()
	if u.GetInputTokens() != gemini.InputTokens || u.GetCacheReadTokens() != gemini.CacheReadTokens ||
		u.GetOutputTokens() != int64(gemini.OutputTokens(script)) || u.ReasoningTokens != nil || u.GetEstimated() {
		t.Errorf("usage = %v", u)
	}
	b := body(t, req)
	want := map[string]any{
		"contents":          []any{map[string]any{"role": "user", "parts": []any{map[string]any{"text": "hello [[tokens=20 gap=20ms]]"}}}},
		"systemInstruction": nil, "tools": []any{}, "generationConfig": b["generationConfig"],
	}
	if diff := cmp.Diff(want, b); diff != "" {
		t.Errorf("the request (-want +got):\n%s", diff)
	}
}

func TestHistory(t *testing.T) {
	s := common(t)
	start := chat(user("one"), user("two"), assistant("three"), assistant("four"), user("five"), user("six"))
	start.System = "be brief"
	_, req := s.complete(t, start)
	system, messages := gemini.Conversation(req)
	var got []string
	for _, m := range messages {
		got = append(got, m.Role+":"+m.Text())
	}
	want := []string{"user:one", "user:two", "model:three", "model:four", "user:five", "user:six"}
	if diff := cmp.Diff(want, got); diff != "" || system != "be brief" {
		t.Errorf("system %q, messages (-want +got):\n%s", system, diff)
	}
}

// nasty are texts that the CLI gives a meaning in some place.
var nasty = map[string]string{
	"flag":          "--help",
	"prompt flag":   "-p x",
	"command":       "/clear",
	"memory":        "/memory refresh",
	"space command": "  /about",
	"dollar":        "$about",
	"file":          "@/etc/passwd",
	"shell":         "!ls",
	"question":      "?",
	"variable":      "$HOME ${HOME} $GEMINI_API_KEY ${GEMINI_API_KEY} ${NOPE:-default} $$ $CLINVK_DOLLAR ${CLINVK_DOLLAR}",
	"placeholder":   "${AvailableTools} ${AgentSkills} ${SubAgents} ${read_file_ToolName}",
	"comment":       "a // b /* c */ <!-- d --> # e",
	"context":       "<session_context>hi</session_context>",
	"hook":          "<hook_context>hi</hook_context>",
	"space":         "  \n\n\n\n a \n\n\n\n ",
	"quotes":        `"\"\\" ": "$x": ` + "`",
	"emoji":         "👩‍👩‍👧 \u200b\ufeff\u202e é",
	"nul":           "a\x00b\x07\x1b[31m",
	"one space":     " ",
	"separators":    "a\u2028b\u2029c\r\nd\re",
	"proto":         `{"__proto__": {"x": 1}}`,
}

func TestNastyTexts(t *testing.T) {
	s := common(t)
	check := func(t *testing.T, text string) {
		start := chat(user(text), assistant(text), user(text))
		start.System = text
		_, req := s.complete(t, start)
		system, messages := gemini.Conversation(req)
		if system != text {
			t.Errorf("system = %q, want %q", head(system), head(text))
		}
		if len(messages) != 3 {
			t.Fatalf("%d messages", len(messages))
		}
		for i, m := range messages {
			if m.Text() != text {
				t.Errorf("message %d = %q, want %q", i, head(m.Text()), head(text))
			}
		}
	}
	for name, text := range nasty {
		t.Run(name, func(t *testing.T) { check(t, text) })
	}
	t.Run("megabyte", func(t *testing.T) { check(t, strings.Repeat("0123456789$ABCDEé", 1<<16)) })
}

func head(s string) string { return s[:min(len(s), 200)] }

func TestAnswers(t *testing.T) {
	s := common(t)
	tests := []struct {
		script, text, reasoning string
		finish                  backendv1.FinishReason
	}{
		{"[[text=b64:8J+RqeKAjfCfkanigI3wn5GnIOKckw== split]]", "👩‍👩‍👧 ✓", "", backendv1.FinishReason_FINISH_REASON_STOP},
		{"[[think=3 tokens=1]]", "tok0 ", "thought0 thought1 thought2", backendv1.FinishReason_FINISH_REASON_STOP},
		{"[[tokens=1 finish=length]]", "tok0 ", "", backendv1.FinishReason_FINISH_REASON_LENGTH},
		{"[[tokens=0 finish=length]]", "", "", backendv1.FinishReason_FINISH_REASON_LENGTH},
		{"[[tokens=1 finish=filter]]", "tok0 ", "", backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER},
		{"[[tokens=0 finish=filter]]", "", "", backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER},
		{"[[tokens=0]]", "", "", backendv1.FinishReason_FINISH_REASON_STOP},
		{"[[size=300000]]", strings.Repeat("x", 300000), "", backendv1.FinishReason_FINISH_REASON_STOP},
		{"$HOME [[echo]]", "$HOME [[echo]]", "", backendv1.FinishReason_FINISH_REASON_STOP},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			r, _ := s.complete(t, chat(user(tt.script)))
			if r.Text != tt.text || r.Reasoning != tt.reasoning {
				t.Errorf("text %q, reasoning %q", head(r.Text), r.Reasoning)
			}
			if got := r.Completed.GetFinishReason(); got != tt.finish {
				t.Errorf("finish = %v, want %v", got, tt.finish)
			}
			script, _ := fakeapi.ParseScript(tt.script)
			if got, want := r.Completed.GetUsage().GetOutputTokens(), int64(gemini.OutputTokens(script)); got != want {
				t.Errorf("output tokens = %d, want %d", got, want)
			}
			if got := r.Completed.GetUsage().GetReasoningTokens(); script.Think > 0 && got != gemini.ReasoningTokens {
				t.Errorf("reasoning tokens = %d", got)
			}
		})
	}
}

func TestSampling(t *testing.T) {
	s := common(t)
	start := chat(user("hi"))
	f := func(v float64) *float64 { return &v }
	i := func(v int64) *int64 { return &v }
	start.Sampling = &backendv1.Sampling{
		Temperature: f(0.25), TopP: f(0.5), TopK: i(7), MaxOutputTokens: i(100), Stop: []string{"$STOP", "END"}, Seed: i(42),
		PresencePenalty: f(0.1), FrequencyPenalty: f(0.2), ReasoningEffort: "low",
	}
	start.OutputSchema = []byte(`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","description":"$HOME"}}}`)
	_, req := s.complete(t, start)
	want := map[string]any{
		"temperature": 0.25, "topP": 0.5, "topK": 7.0, "maxOutputTokens": 100.0, "stopSequences": []any{"$STOP", "END"},
		"seed": 42.0, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "responseMimeType": "application/json",
		"responseJsonSchema": map[string]any{"$ref": "#/$defs/a", "$defs": map[string]any{"a": map[string]any{"type": "object", "description": "$HOME"}}},
		"thinkingConfig":     map[string]any{"includeThoughts": true, "thinkingLevel": "LOW", "thinkingBudget": nil},
	}
	got := gemini.GenerationConfig(req)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generation settings (-want +got):\n%s", diff)
	}
	_, req = s.complete(t, chat(user("hi")))
	if got := gemini.GenerationConfig(req); got["temperature"] != 1.0 || got["seed"] != nil {
		t.Errorf("settings of another turn: %v", got)
	}
}

func TestModel(t *testing.T) {
	s := common(t)
	for _, model := range []string{"", "gemini-2.5-pro", "some-new-model", "tunedModels/mine"} {
		start := chat(user("hi"))
		start.Model = model
		r, req := s.complete(t, start)
		want := model
		if want == "" {
			want = defaultModel
		}
		if !strings.Contains(req.Path, want+":") || r.Completed.GetModel() != want {
			t.Errorf("model %q went to %s, completed says %q", model, req.Path, r.Completed.GetModel())
		}
	}
	start := chat(user("hi"))
	start.Model = "../../x?y"
	if r := s.run(t, start); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_NOT_FOUND {
		t.Errorf("a path as model: %v", r.Failed)
	}
}

func TestImages(t *testing.T) {
	s := common(t)
	image := &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{
		MediaType: "image/png", Source: &backendv1.Blob_Data{Data: []byte("\x89PNG\x00")},
	}}}
	start := chat(
		&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{image, textPart("what?")}},
		assistant("a cat"),
		&backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{textPart("and this?"), image}},
	)
	_, req := s.complete(t, start)
	_, messages := gemini.Conversation(req)
	picture := gemini.Part{Kind: "image", Text: "iVBORwA=", Name: "image/png"}
	want := []gemini.Message{
		{Role: "user", Parts: []gemini.Part{picture, {Kind: "text", Text: "what?"}}},
		{Role: "model", Parts: []gemini.Part{{Kind: "text", Text: "a cat"}}},
		{Role: "user", Parts: []gemini.Part{{Kind: "text", Text: "and this?"}, picture}},
	}
	if diff := cmp.Diff(want, messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestConcurrent has many turns at once, each with a word of its own.
func TestConcurrent(t *testing.T) {
	s := common(t)
	const turns = 24
	faults := make(chan string, turns)
	for i := range turns {
		go func() {
			nonce := fmt.Sprintf("nonce-%d-%x", i, time.Now().UnixNano())
			start := chat(user("before "+nonce), assistant("yes "+nonce), user(nonce+" [[echo]]"))
			start.System = "system " + nonce
			r := s.run(t, start)
			if r.Err != nil || r.Failed != nil || r.Text != nonce+" [[echo]]" {
				faults <- fmt.Sprintf("turn %d: %v %v %q", i, r.Err, r.Failed, r.Text)
				return
			}
			faults <- ""
		}()
	}
	for range turns {
		if fault := <-faults; fault != "" {
			t.Error(fault)
		}
	}
	for _, req := range s.api.Log.Turns() {
		system, messages := gemini.Conversation(req)
		nonce, ok := strings.CutPrefix(system, "system nonce")
		if !ok {
			continue
		}
		for _, m := range messages {
			if !strings.Contains(m.Text(), "nonce"+nonce) {
				t.Errorf("%q in the conversation of %q", m.Text(), system)
			}
		}
	}
}

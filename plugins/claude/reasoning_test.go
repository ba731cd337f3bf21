package main

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
)

func TestReasoning(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		r := f.complete(chat(user("[[redacted think=3 tokens=2]]")))
		if r.Reasoning != "thought0 thought1 thought2 " || r.Text != "tok0 tok1 " {
			t.Errorf("reasoning %q, text %q", r.Reasoning, r.Text)
		}
		if n := r.Completed.GetUsage().GetReasoningTokens(); n != anthropic.ReasoningTokens {
			t.Errorf("reasoning tokens = %d", n)
		}
		ours := "claude:" + r.Completed.GetModel() + ":"
		want := []string{"hidden " + ours + anthropic.RedactedData, "signature " + ours + anthropic.Signature}
		var got []string
		for _, e := range r.Events {
			switch d := e.GetReasoningDelta(); {
			case d.GetRedacted():
				got = append(got, "hidden "+string(d.GetSignature()))
			case len(d.GetSignature()) > 0:
				got = append(got, "signature "+string(d.GetSignature()))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("signatures (-want +got):\n%s", diff)
		}
	})
}

func reasoning(text, signature string, redacted bool) *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_Reasoning{Reasoning: &backendv1.Reasoning{Text: text, Signature: []byte(signature), Redacted: redacted}}}
}

// TestReasoningGivenBack: reasoning that led to a call is given back before the call,
// hidden or not, as the API demands while the call's result is being answered; so is
// that of answers that are over. The CLI drops all of it unless the message is said
// to be of the model that is asked now, by the API's name for it.
func TestReasoningGivenBack(t *testing.T) {
	signed := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("signed ✓ ", 200)))
	hidden := base64.StdEncoding.EncodeToString([]byte("hidden"))
	over := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: append([]*backendv1.Part{reasoning("old", signed, false)}, assistant("a1").GetParts()...)}
	called := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{
		reasoning("hm ✓\n", signed, false), reasoning("", hidden, true),
		{Content: &backendv1.Part_Text{Text: "first"}},
		reasoning("of another backend", "gemini:x", false), reasoning("unsigned", "", false),
		{Content: &backendv1.Part_ToolCall{ToolCall: &backendv1.ToolCall{Id: "toolu_1", Name: "f", ArgumentsJson: "{}"}}},
	}}
	result := &backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{
		{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{CallId: "toolu_1", Parts: user("r").GetParts()}}},
	}}
	want := []string{
		"thinking hm ✓\n " + signed, "redacted_thinking " + hidden + " ", "text first ", "tool_use {} ",
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for model, effort := range map[string]string{"claude-opus-4-8": "high", "sonnet": "", "opus": "low", "": ""} {
			start := chat(user("u1"), over, user("u2"), called, result)
			start.Tools, start.Model = []*backendv1.ToolSpec{{Name: "f"}}, model
			start.Sampling = &backendv1.Sampling{ReasoningEffort: effort}
			f.complete(start)
			_, messages := f.received()
			if len(messages) != 5 {
				t.Fatalf("%d messages: %s", len(messages), words(messages))
			}
			var got []string
			for _, p := range messages[3].Parts {
				got = append(got, p.Kind+" "+p.Text+" "+p.Signature)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("model %q: the message before the result (-want +got):\n%s", model, diff)
			}
			wantOver := []anthropic.Part{{Kind: "thinking", Text: "old", Signature: signed}, {Kind: "text", Text: "a1"}}
			if diff := cmp.Diff(wantOver, messages[1].Parts); diff != "" {
				t.Errorf("model %q: an answer that is over (-want +got):\n%s", model, diff)
			}
		}
	})
}

// TestReasoningOfAnotherModel: what was handed out goes back as the API made it, but
// to the model only that signed it. The API would refuse it from any other, for as
// long as the conversation lasts.
func TestReasoningOfAnotherModel(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("[[redacted think=1 tokens=1]]"))
		start.Model, start.Sampling = "claude-opus-4-5", &backendv1.Sampling{ReasoningEffort: "high"}
		answer := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT}
		for _, e := range f.complete(start).Events {
			if d := e.GetReasoningDelta(); len(d.GetSignature()) > 0 {
				answer.Parts = append(answer.Parts, reasoning("thought0 ", string(d.GetSignature()), d.GetRedacted()))
			}
		}
		answer.Parts = append(answer.Parts, assistant("tok0 ").GetParts()...)
		start.Messages = append(start.Messages, answer, user("more"))
		own := []anthropic.Part{
			{Kind: "redacted_thinking", Text: anthropic.RedactedData},
			{Kind: "thinking", Text: "thought0 ", Signature: anthropic.Signature}, {Kind: "text", Text: "tok0 "},
		}
		for model, want := range map[string][]anthropic.Part{
			"claude-opus-4-5": own, "claude-opus-4-5-20251101": own, "claude-sonnet-4-5": own[2:],
		} {
			start.Model = model
			f.complete(start)
			_, messages := f.received()
			if diff := cmp.Diff(want, messages[1].Parts); diff != "" {
				t.Errorf("to %s (-want +got):\n%s", model, diff)
			}
		}
	})
}

func TestSignatures(t *testing.T) {
	for _, test := range []struct{ signature, model, want string }{
		{"claude:m:c2ln", "m", "c2ln"},
		{"claude:m-20251101:c2ln", "m", "c2ln"},
		{"claude:vendor.m-v1:0:c2ln", "vendor.m-v1:0", "c2ln"},
		{"claude:m:c2ln", "n", ""},
		{"claude:m:", "m", ""},
		{"claude:m", "m", ""},
		{"claude:m:no base64", "m", ""},
		{"c2ln", "m", "c2ln"},
		{"", "m", ""},
		{"codex:c2ln", "m", ""},
		{"gemini:c2ln", "m", ""},
		{"echo:c2ln", "m", ""},
	} {
		got, ok := unsealed([]byte(test.signature), test.model)
		if ok != (test.want != "") || ok && string(got) != test.want {
			t.Errorf("%q for %s: %q, %v; want %q", test.signature, test.model, got, ok, test.want)
		}
	}
	if got, ok := unsealed(sealed("m:1", "c2ln"), "m:1"); !ok || string(got) != "c2ln" {
		t.Errorf("there and back: %q, %v", got, ok)
	}
}

// TestCodePointsCutApart: everything that the model writes comes out whole, however
// it is cut on its way here.
func TestCodePointsCutApart(t *testing.T) {
	text := "e\u0301 ✓ 😀 👩\u200d👩\u200d👧 \U0001F1E9\U0001F1EA ende"
	encoded := "b64:" + base64.StdEncoding.EncodeToString([]byte(text))
	arguments := `{"text":"` + text + `"}`
	eachRelease(t, func(t *testing.T, f *fixture) {
		start := chat(user("[[split text=" + encoded + " thought=" + encoded + " tool=f args=b64:" + base64.StdEncoding.EncodeToString([]byte(arguments)) + "]]"))
		start.Tools = []*backendv1.ToolSpec{{Name: "f"}}
		r := f.complete(start)
		if r.Text != text || r.Reasoning != text {
			t.Errorf("text %q, reasoning %q", r.Text, r.Reasoning)
		}
		if diff := cmp.Diff([]string{"call f TOOL_ORIGIN_CLIENT " + arguments}, tools(r)); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestDirectives(t *testing.T) {
	tests := []struct {
		name, text string
		want       []directive
		around     string
	}{
		{"none", `<env>{"a": [[1, 2]]}</env> [[tokens=2]]`, nil, `<env>{"a": [[1, 2]]}</env> [[tokens=2]]`},
		{"call", `<reminder>{x}</reminder>[[tool Read {"file_path":"/a"}]] now`, []directive{{verbTool, "Read", `{"file_path":"/a"}`}}, "<reminder>{x}</reminder> now"},
		{"brackets inside", `[[tool f {"a":[["]]"]],"b":"[[tool g]]"} ]]`, []directive{{verbTool, "f", `{"a":[["]]"]],"b":"[[tool g]]"}`}}, ""},
		{"no arguments", `[[tool f]][[tool g]]`, []directive{{verb: verbTool, name: "f"}, {verb: verbTool, name: "g"}}, ""},
		{"arguments that are none", `[[tool f {a}]]`, nil, `[[tool f {a}]]`},
		{"all verbs", `[[think hm ✓]] [[redacted x]][[say yes {"a":1}]] [[finish stop_sequence END]]`, []directive{
			{verb: verbThink, rest: "hm ✓"}, {verb: verbHidden, rest: "x"}, {verb: verbSay, rest: `yes {"a":1}`}, {verbFinish, "stop_sequence", "END"},
		}, ""},
		{"held", "[[held]]", []directive{{verb: verbHeld}}, ""},
		{"unknown words", `[[held back]] [[finish never]] [[think]] [[tool]] [[open`, nil, `[[held back]] [[finish never]] [[think]] [[tool]] [[open`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, around := directives(test.text)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(directive{})); diff != "" || around != test.around {
				t.Errorf("around %q, want %q; directives (-want +got):\n%s", around, test.around, diff)
			}
		})
	}
}

func FuzzDirectives(f *testing.F) {
	f.Add(`a [[tool f {"a":[[1]]}]] b [[say x]]`)
	f.Fuzz(func(t *testing.T, text string) {
		found, around := directives(text)
		if len(found) == 0 && around != strings.TrimSpace(text) {
			t.Errorf("%q became %q", text, around)
		}
	})
}

func TestDirectiveSurvivesWrapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wrapping := rapid.StringMatching(`[a-z{}" \[\]\n<>/]{0,40}`)
		// A bracket right in front would belong to the directive.
		before, after := wrapping.Draw(t, "before")+"\n", wrapping.Draw(t, "after")
		found, _ := directives(before + `[[tool Bash {"command":"ls"}]]` + after)
		if len(found) != 1 || found[0].name != "Bash" || found[0].rest != `{"command":"ls"}` {
			t.Fatalf("%q, %q: %v", before, after, found)
		}
	})
}

func result(id, s string) *backendv1.Message {
	return &backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{
		{Content: &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{CallId: id, Parts: user(s).GetParts()}}},
	}}
}

func TestObeyedDirectives(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	tools := []*backendv1.ToolSpec{{Name: "Read"}, {Name: "Bash", InputSchema: []byte(`{"type":"object","properties":{"command":{"type":"string"}},"required":["command"]}`)}}
	ask := user(`use Read {"no":1} [[think hm]] [[say first ]] [[tool Bash {"command":"ls"}]] [[tool Bash]]`)
	reminded := user("<system-reminder>{}</system-reminder>")
	tests := []struct {
		name     string
		messages []*backendv1.Message
		tools    []*backendv1.ToolSpec
		choice   *backendv1.ToolChoice
		want     []string
	}{
		{"calls", []*backendv1.Message{ask}, tools, nil, []string{"think hm", "sign " + signature("hm"), "text first ", `call Bash {"command":"ls"}`, `call Bash {"command":"text"}`, "end TOOL_CALLS"}},
		{"reminded afterwards", []*backendv1.Message{user("[[tool Read]]"), reminded}, tools, nil, []string{"call Read {}", "end TOOL_CALLS"}},
		{"the last counts", []*backendv1.Message{user("[[tool Read]]"), assistant("a"), user("[[say b]]")}, tools, nil, []string{"text b", "end STOP"}},
		{"results and a reminder", []*backendv1.Message{ask, assistant("a"), result("call_1_1", "a.txt"), reminded}, tools, nil, []string{"text result of call_1_1: a.txt", "end STOP"}},
		{"results last", []*backendv1.Message{ask, assistant("a"), result("call_1_1", "a.txt")}, tools, nil, []string{"text result of call_1_1: a.txt", "end STOP"}},
		{"no such tool", []*backendv1.Message{user("title of [[tool Bash]]?")}, tools[:1], nil, []string{"text title of ?", "end STOP"}},
		{"no tool allowed", []*backendv1.Message{user("x [[tool Bash]]")}, tools, &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_None{None: true}}, []string{"text x", "end STOP"}},
		{"hidden", []*backendv1.Message{user("[[redacted x]] y")}, nil, nil, []string{"hide " + signature("x"), "text y", "end STOP"}},
		{"cut off", []*backendv1.Message{user("x [[finish length]]")}, nil, nil, []string{"text x", "end LENGTH"}},
		{"stopped", []*backendv1.Message{user("x [[finish stop_sequence END]]")}, nil, nil, []string{"text x", "end STOP_SEQUENCE END"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: "tool", Messages: test.messages, Tools: test.tools, ToolChoice: test.choice})
			if diff := cmp.Diff(test.want, outline(r)); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

// outline renders an answer: one line for each block, and its end.
func outline(r *backendtest.Result) []string {
	var out []string
	add := func(kind, text string) {
		if n := len(out); n > 0 && text != "" && strings.HasPrefix(out[n-1], kind+" ") && kind == "text" {
			out[n-1] += text
		} else {
			out = append(out, kind+" "+text)
		}
	}
	for _, e := range r.Events {
		switch d := e.GetReasoningDelta(); {
		case d.GetRedacted():
			add("hide", string(d.GetSignature()))
		case len(d.GetSignature()) > 0:
			add("sign", string(d.GetSignature()))
		case d != nil:
			add("think", d.GetText())
		case e.GetTextDelta() != nil:
			add("text", e.GetTextDelta().GetText())
		case e.GetToolCall() != nil:
			add("call", e.GetToolCall().GetName()+" "+e.GetToolCall().GetArgumentsJson())
		}
	}
	end := strings.TrimPrefix(r.Completed.GetFinishReason().String(), "FINISH_REASON_")
	return append(out, strings.TrimSpace("end "+end+" "+r.Completed.GetStopSequence()))
}

func TestReasoningThatComesBack(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	think := func(text, signature string) *backendv1.Part {
		return &backendv1.Part{Content: &backendv1.Part_Reasoning{Reasoning: &backendv1.Reasoning{Text: text, Signature: []byte(signature)}}}
	}
	back := &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{
		think("mine", signature("mine")), think("of another", "c2lnbmVk"), think("unsigned", ""), think("codex's", "codex:{}"),
	}}
	r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: "transcript", Messages: []*backendv1.Message{back, user("hi")}})
	want := "assistant thinks: mine [" + strings.TrimPrefix(signature("mine"), "echo:") + "]\nuser: hi\n"
	if r.Text != want || signature("mine")[:5] != "echo:" {
		t.Errorf("got %q, want %q (%v)", r.Text, want, r.Failed)
	}
}

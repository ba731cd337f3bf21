package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func text(role backendv1.Role, s string) *backendv1.Message {
	return &backendv1.Message{Role: role, Parts: []*backendv1.Part{{Content: &backendv1.Part_Text{Text: s}}}}
}

func user(s string) *backendv1.Message      { return text(backendv1.Role_ROLE_USER, s) }
func assistant(s string) *backendv1.Message { return text(backendv1.Role_ROLE_ASSISTANT, s) }

func TestModels(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	history := []*backendv1.Message{user("one"), assistant("two"), user("three four ✓")}
	tests := []struct {
		model string
		want  string
		code  backendv1.ErrorCode
	}{
		{model: "", want: "three four ✓"},
		{model: "echo", want: "three four ✓"},
		{model: "transcript", want: "system: sys\nuser: one\nassistant: two\nuser: three four ✓\n"},
		{model: "fail", code: backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE},
		{model: "fail-midstream", want: "three four ", code: backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE},
		{model: "nope", code: backendv1.ErrorCode_ERROR_CODE_NOT_FOUND},
	}
	for _, test := range tests {
		t.Run(test.model, func(t *testing.T) {
			r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: test.model, System: "sys", Messages: history})
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if r.Text != test.want || r.Failed.GetCode() != test.code {
				t.Errorf("text %q, code %v; want %q, %v", r.Text, r.Failed.GetCode(), test.want, test.code)
			}
		})
	}
}

func TestFailNamesItsCode(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: "fail", Messages: []*backendv1.Message{user("please rate_limited now")}})
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED || r.Failed.GetRetryAfter().AsDuration() != failRetryAfter {
		t.Errorf("failed = %v", r.Failed)
	}
}

func TestSlowCanBeInterruptedAndCancelled(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	start := &backendv1.Start{Model: "slow", Messages: []*backendv1.Message{user("a b c d e f g h i j")}}
	r := backendtest.Run(t.Context(), client, start, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
		if e.GetSequence() == 2 {
			_ = s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}})
		}
	}))
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED || r.TextDeltas >= 10 {
		t.Errorf("completed = %v after %d deltas, err %v", r.Completed, r.TextDeltas, r.Err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begin := time.Now()
	backendtest.Run(ctx, client, start, backendtest.OnEvent(func(*backendv1.ExecuteResponse, backendv1.BackendService_ExecuteClient) { cancel() }))
	if took := time.Since(begin); took > slowTime/2 {
		t.Errorf("cancelling took %v", took)
	}
}

func TestTools(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	tools := []*backendv1.ToolSpec{
		{Name: "get_weather", InputSchema: []byte(`{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}`)},
		{Name: "get_time"},
	}
	tests := []struct {
		name   string
		prompt string
		choice *backendv1.ToolChoice
		want   []string
	}{
		{"auto", "weather?", nil, []string{`get_weather {"city":"text"}`}},
		{"both named", `get_time and get_weather {"city":"Oslo"}`, nil, []string{`get_weather {"city":"Oslo"}`, `get_time {"city":"Oslo"}`}},
		{"none", "weather?", &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_None{None: true}}, nil},
		{"by name", "weather?", &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Name{Name: "get_time"}}, []string{`get_time {}`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: "tool", Messages: []*backendv1.Message{user(test.prompt)}, Tools: tools, ToolChoice: test.choice})
			var got []string
			pieces := map[string]string{}
			for _, e := range r.Events {
				if d := e.GetToolCallDelta(); d != nil {
					pieces[d.GetId()] += d.GetArgumentsJson()
				}
				if c := e.GetToolCall(); c != nil {
					got = append(got, c.GetName()+" "+c.GetArgumentsJson())
					if pieces[c.GetId()] != c.GetArgumentsJson() {
						t.Errorf("pieces %q are not the arguments %q", pieces[c.GetId()], c.GetArgumentsJson())
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLiveConversation(t *testing.T) {
	client := backendtest.Connect(t, newBackend())
	run := func(messages []*backendv1.Message, live *backendv1.Live) *backendtest.Result {
		t.Helper()
		r := backendtest.Run(t.Context(), client, &backendv1.Start{Model: "transcript", Messages: messages, Live: live})
		if r.Err != nil || r.Failed != nil {
			t.Fatal(r.Err, r.Failed)
		}
		return r
	}
	first := run([]*backendv1.Message{user("one")}, &backendv1.Live{})
	token := first.Completed.GetLiveToken()
	if len(token) == 0 {
		t.Fatal("not kept")
	}
	// The held messages differ from what is kept: only the kept ones may show.
	messages := []*backendv1.Message{user("FORGED"), assistant("FORGED"), user("two")}
	second := run(messages, &backendv1.Live{Token: token, MessagesHeld: 2})
	if !second.Started.GetLive() || second.Text != "user: one\nassistant: user: one\n\nuser: two\n" {
		t.Errorf("live %v, text %q", second.Started.GetLive(), second.Text)
	}
	again := run(messages, &backendv1.Live{Token: token, MessagesHeld: 2})
	if again.Started.GetLive() || !strings.Contains(again.Text, "FORGED") {
		t.Errorf("a token was good for two turns")
	}
}

func TestSplitKeepsAllAndBoundsPieces(t *testing.T) {
	for _, s := range []string{"", "a", "a b", strings.Repeat("é", 100_000), strings.Repeat("word ", 500_000), strings.Repeat("x", 3_000_000)} {
		pieces := split(s)
		if strings.Join(pieces, "") != s {
			t.Errorf("%d bytes: pieces do not add up", len(s))
		}
		if len(pieces) > 2*maxPieces {
			t.Errorf("%d bytes: %d pieces", len(s), len(pieces))
		}
	}
}

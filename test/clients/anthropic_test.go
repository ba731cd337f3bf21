//go:build unix

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/shared"
	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/test/harness"
)

// anthropicSuite tests Anthropic's client in Go.
type anthropicSuite struct {
	server *harness.Server
	client anthropic.Client
}

const pathMessages = "POST /anthropic/v1/messages"

func goAnthropic(t *testing.T, seen *record) {
	s := &anthropicSuite{server: start(t)}
	s.client = s.with(key)
	me := goModule(t, "github.com/anthropics/anthropic-sdk-go")
	for _, b := range append([]behaviour{
		{pathMessages, "plain", s.plain},
		{pathMessages, "stream", s.stream},
		{pathMessages, "tools", s.tools},
		{pathMessages, "parallel tools", s.parallelTools},
		{pathMessages, "structured output", s.structured},
		{pathMessages, "errors", s.errors},
		{pathMessages, "error in mid-stream", s.midstream},
		{pathMessages, "abort", s.abort},
		{pathMessages + "/count_tokens", "count", s.count},
		{"GET /anthropic/v1/models", "list", s.models},
		{"GET /anthropic/v1/models/{id}", "get", s.model},
	}, s.limits()...) {
		seen.run(t, me, b)
	}
}

func (s *anthropicSuite) with(key string) anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(s.server.URL+"/anthropic"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func user(text string) anthropic.MessageParam {
	return anthropic.NewUserMessage(anthropic.NewTextBlock(text))
}

func message(model string, messages ...anthropic.MessageParam) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: model, MaxTokens: 4096, Messages: messages}
}

// both asks in both forms and compares them.
func (s *anthropicSuite) both(t *testing.T, p anthropic.MessageNewParams) *anthropic.Message {
	t.Helper()
	plain, err := s.client.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	stream := s.client.Messages.NewStreaming(t.Context(), p)
	defer stream.Close()
	var acc anthropic.Message
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(essence(plain), essence(&acc)); diff != "" {
		t.Errorf("(-plain +streamed):\n%s", diff)
	}
	return plain
}

// essence is what both forms of an answer must have in common.
func essence(m *anthropic.Message) any {
	out := []any{m.Model, m.StopReason, m.StopSequence, m.Usage.InputTokens, m.Usage.OutputTokens}
	for _, b := range m.Content {
		out = append(out, b.Type, b.Text, b.ID, b.Name, string(b.Input))
	}
	return out
}

// text of an answer that is one block of it.
func text(t *testing.T, m *anthropic.Message) string {
	t.Helper()
	if len(m.Content) != 1 || m.Content[0].Type != "text" {
		t.Fatalf("got %s", m.RawJSON())
	}
	return m.Content[0].Text
}

func (s *anthropicSuite) plain(t *testing.T) {
	p := message("echo/transcript", user("one ✓"), anthropic.NewAssistantMessage(anthropic.NewTextBlock("two")), user("three"))
	p.System = []anthropic.TextBlockParam{{Text: "be terse"}}
	var res *http.Response
	got, err := s.client.Messages.New(t.Context(), p, option.WithResponseInto(&res))
	if err != nil {
		t.Fatal(err)
	}
	if want := "system: be terse\nuser: one ✓\nassistant: two\nuser: three\n"; text(t, got) != want || got.StopReason != anthropic.StopReasonEndTurn {
		t.Errorf("got %s", got.RawJSON())
	}
	if got.Usage.InputTokens < 1 || got.Usage.OutputTokens < 1 || got.ID == "" || got.Model != "echo/transcript" || res.Header.Get("Request-Id") == "" {
		t.Errorf("got %s, %v", got.RawJSON(), res.Header)
	}
}

func (s *anthropicSuite) stream(t *testing.T) {
	if got := s.both(t, message("echo", user("the quick brown fox 🦊 jumps"))); text(t, got) != "the quick brown fox 🦊 jumps" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func clientTool(name string) anthropic.ToolUnionParam {
	return anthropic.ToolUnionParamOfTool(anthropic.ToolInputSchemaParam{
		Properties: map[string]any{"city": map[string]any{"type": "string"}}, Required: []string{"city"},
	}, name)
}

func (s *anthropicSuite) tools(t *testing.T) {
	s.roundTrip(t, []string{"weather"}, `[[tool weather {"city":"Oslo"}]]`)
}

func (s *anthropicSuite) parallelTools(t *testing.T) {
	s.roundTrip(t, []string{"weather", "time"}, `[[tool weather {"city":"Oslo"}]][[tool time {"city":"Bergen"}]]`)
}

// roundTrip has the model call tools, sends a result for each, and reads them back.
func (s *anthropicSuite) roundTrip(t *testing.T, names []string, prompt string) {
	p := message("echo/tool", user(prompt))
	p.Tools = []anthropic.ToolUnionParam{clientTool("weather"), clientTool("time")}
	got := s.both(t, p)
	if got.StopReason != anthropic.StopReasonToolUse || len(got.Content) != len(names) {
		t.Fatalf("got %s", got.RawJSON())
	}
	p.Messages = append(p.Messages, got.ToParam())
	var results []anthropic.ContentBlockParamUnion
	var want []string
	for i, b := range got.Content {
		var input struct{ City string }
		if err := json.Unmarshal(b.Input, &input); err != nil || input.City == "" || b.Name != names[i] {
			t.Errorf("call %d: %s, %v", i, b.RawJSON(), err)
		}
		result := fmt.Sprintf("%s of %s is fine", b.Name, input.City)
		results = append(results, anthropic.NewToolResultBlock(b.ID, result, false))
		want = append(want, result)
	}
	p.Messages = append(p.Messages, anthropic.NewUserMessage(results...))
	answer := text(t, s.both(t, p))
	for _, result := range want {
		if !strings.Contains(answer, result) {
			t.Errorf("got %q, without %q", answer, result)
		}
	}
}

func (s *anthropicSuite) structured(t *testing.T) {
	p := message("echo", user("a person"))
	p.OutputConfig.Format = anthropic.JSONOutputFormatParam{Schema: map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"name", "age"},
		"properties": map[string]any{"name": map[string]any{"type": "string"}, "age": map[string]any{"type": "integer"}},
	}}
	var person struct {
		Name string
		Age  int
	}
	if err := json.Unmarshal([]byte(text(t, s.both(t, p))), &person); err != nil || person.Name == "" || person.Age == 0 {
		t.Errorf("got %+v, %v", person, err)
	}
}

func (s *anthropicSuite) errors(t *testing.T) {
	bad := message("echo", user("hi"))
	bad.Thinking = anthropic.ThinkingConfigParamOfEnabled(1)
	for _, test := range []struct {
		name   string
		key    string
		params anthropic.MessageNewParams
		status int
		kind   shared.ErrorType
	}{
		{"bad field", key, bad, 400, shared.ErrorTypeInvalidRequestError},
		{"no messages", key, message("echo"), 400, shared.ErrorTypeInvalidRequestError},
		{"key", "sk-wrong", message("echo", user("hi")), 401, shared.ErrorTypeAuthenticationError},
		{"model", key, message("echo/nope", user("hi")), 404, shared.ErrorTypeNotFoundError},
		{"rate limit", key, message("echo/fail", user("rate_limited")), 429, shared.ErrorTypeRateLimitError},
		{"overload", key, message("echo/fail", user("overloaded")), 529, shared.ErrorTypeOverloadedError},
		{"upstream", key, message("echo/fail", user("upstream_failure")), 502, shared.ErrorTypeAPIError},
		{"timeout", key, message("echo/fail", user("timeout")), 504, shared.ErrorTypeTimeoutError},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", test.name, streamed), func(t *testing.T) {
				c := s.with(test.key)
				var err error
				if streamed {
					stream := c.Messages.NewStreaming(t.Context(), test.params)
					stream.Next()
					err = stream.Err()
				} else {
					_, err = c.Messages.New(t.Context(), test.params)
				}
				e, ok := errors.AsType[*anthropic.Error](err)
				if !ok || e.StatusCode != test.status || e.Type() != test.kind || e.RequestID == "" {
					t.Fatalf("got %v", err)
				}
				if test.status == 429 && e.Response.Header.Get("Retry-After") == "" {
					t.Errorf("headers %v", e.Response.Header)
				}
			})
		}
	}
}

func (s *anthropicSuite) midstream(t *testing.T) {
	stream := s.client.Messages.NewStreaming(t.Context(), message("echo/fail-midstream", user("one two three four overloaded")))
	var acc anthropic.Message
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err == nil || acc.StopReason != "" || !strings.Contains(err.Error(), "echo failed as it was asked to") {
		t.Errorf("got %s, %v", acc.StopReason, err)
	}
}

func (s *anthropicSuite) abort(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream := s.client.Messages.NewStreaming(ctx, message("echo/slow", user("a b c d e f g h i j")))
	for stream.Next() {
		if stream.Current().Type == "content_block_delta" {
			leave()
		}
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expectLeft(t, s.server, 1)
}

func (s *anthropicSuite) count(t *testing.T) {
	count := func(text string) int64 {
		got, err := s.client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: "echo", Messages: []anthropic.MessageParam{user(text)}})
		if err != nil {
			t.Fatal(err)
		}
		return got.InputTokens
	}
	if short, long := count("hi"), count(strings.Repeat("words ", 100)); short < 1 || long < 10*short {
		t.Errorf("%d and %d tokens", short, long)
	}
}

func (s *anthropicSuite) models(t *testing.T) {
	var ids []string
	pages := s.client.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{Limit: anthropic.Int(2)})
	for pages.Next() {
		ids = append(ids, pages.Current().ID)
	}
	if err := pages.Err(); err != nil || !slices.Contains(ids, "echo") || !slices.Contains(ids, "echo/slow") {
		t.Errorf("got %q, %v", ids, err)
	}
}

func (s *anthropicSuite) model(t *testing.T) {
	if got, err := s.client.Models.Get(t.Context(), "echo/slow", anthropic.ModelGetParams{}); err != nil || got.ID != "echo/slow" || got.DisplayName == "" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := s.client.Models.Get(t.Context(), "echo/nope", anthropic.ModelGetParams{})
	if e, ok := errors.AsType[*anthropic.Error](err); !ok || e.StatusCode != http.StatusNotFound {
		t.Errorf("got %v", err)
	}
}

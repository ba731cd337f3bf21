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

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"

	"github.com/clinvk/clinvk/test/harness"
)

// openAISuite tests OpenAI's client in Go.
type openAISuite struct {
	server *harness.Server
	client openai.Client
}

const (
	pathChat        = "POST /openai/v1/chat/completions"
	pathCompletions = "POST /openai/v1/completions"
)

func goOpenAI(t *testing.T, seen *record) {
	s := &openAISuite{server: start(t)}
	s.client = s.with(key)
	me := goModule(t, "github.com/openai/openai-go/v3")
	for _, b := range append([]behaviour{
		{pathChat, "plain", s.plain},
		{pathChat, "stream", s.stream},
		{pathChat, "tools", s.tools},
		{pathChat, "parallel tools", s.parallelTools},
		{pathChat, "structured output", s.structured},
		{pathChat, "n", s.choices},
		{pathChat, "errors", s.errors},
		{pathChat, "error in mid-stream", s.midstream},
		{pathChat, "abort", s.abort},
		{pathCompletions, "plain", s.completion},
		{pathCompletions, "stream", s.completionStream},
		{"GET /openai/v1/models", "list", s.models},
		{"GET /openai/v1/models/{id}", "get", s.model},
		{"POST /openai/v1/embeddings", "refused as not implemented", s.embeddings},
	}, slices.Concat(s.limits(), s.responses())...) {
		seen.run(t, me, b)
	}
}

func (s *openAISuite) with(key string) openai.Client {
	return openai.NewClient(option.WithBaseURL(s.server.URL+"/openai/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func chat(model string, messages ...openai.ChatCompletionMessageParamUnion) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: messages}
}

func say(text string) openai.ChatCompletionMessageParamUnion { return openai.UserMessage(text) }

// ask asks for one choice.
func (s *openAISuite) ask(t *testing.T, p openai.ChatCompletionNewParams) *openai.ChatCompletion {
	t.Helper()
	got, err := s.client.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Choices) != 1 {
		t.Fatalf("%d choices: %s", len(got.Choices), got.RawJSON())
	}
	return got
}

// accumulate asks with a stream.
func (s *openAISuite) accumulate(t *testing.T, p openai.ChatCompletionNewParams) openai.ChatCompletion {
	t.Helper()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), p)
	defer stream.Close()
	var acc openai.ChatCompletionAccumulator
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("the chunk does not follow: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	return acc.ChatCompletion
}

// answer is what both forms of an answer must have in common.
func answer(c openai.ChatCompletion) any {
	out := []any{c.Model, c.Usage.PromptTokens, c.Usage.CompletionTokens, c.Usage.TotalTokens}
	for _, choice := range c.Choices {
		out = append(out, choice.Index, choice.Message.Content, choice.FinishReason)
		for _, call := range choice.Message.ToolCalls {
			out = append(out, call.ID, call.Function.Name, call.Function.Arguments)
		}
	}
	return out
}

// both asks in both forms and compares them.
func (s *openAISuite) both(t *testing.T, p openai.ChatCompletionNewParams) *openai.ChatCompletion {
	t.Helper()
	plain := s.ask(t, p)
	if diff := cmp.Diff(answer(*plain), answer(s.accumulate(t, p))); diff != "" {
		t.Errorf("(-plain +streamed):\n%s", diff)
	}
	return plain
}

func (s *openAISuite) plain(t *testing.T) {
	var res *http.Response
	got, err := s.client.Chat.Completions.New(t.Context(), chat("echo/transcript", openai.SystemMessage("be terse"), say("one ✓"), openai.AssistantMessage("two"), say("three")), option.WithResponseInto(&res))
	if err != nil {
		t.Fatal(err)
	}
	c := got.Choices[0]
	if want := "system: be terse\nuser: one ✓\nassistant: two\nuser: three\n"; c.Message.Content != want || c.FinishReason != "stop" {
		t.Errorf("got %q, %s", c.Message.Content, c.FinishReason)
	}
	if u := got.Usage; u.PromptTokens < 1 || u.CompletionTokens < 1 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage: %s", u.RawJSON())
	}
	if got.ID == "" || got.Created == 0 || got.Model != "echo/transcript" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("got %s, %v", got.RawJSON(), res.Header)
	}
}

func (s *openAISuite) stream(t *testing.T) {
	if got := s.both(t, chat("echo", say("the quick brown fox 🦊 jumps"))); got.Choices[0].Message.Content != "the quick brown fox 🦊 jumps" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func function(name string) openai.ChatCompletionToolUnionParam {
	return openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: name, Parameters: shared.FunctionParameters{
		"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
	}})
}

func (s *openAISuite) tools(t *testing.T) {
	s.roundTrip(t, []string{"weather"}, say(`[[tool weather {"city":"Oslo"}]]`))
}

func (s *openAISuite) parallelTools(t *testing.T) {
	s.roundTrip(t, []string{"weather", "time"}, say(`[[tool weather {"city":"Oslo"}]][[tool time {"city":"Bergen"}]]`))
}

// roundTrip has the model call tools, sends a result for each, and reads them back.
func (s *openAISuite) roundTrip(t *testing.T, names []string, prompt openai.ChatCompletionMessageParamUnion) {
	p := chat("echo/tool", prompt)
	p.Tools = []openai.ChatCompletionToolUnionParam{function("weather"), function("time")}
	got := s.both(t, p).Choices[0]
	if got.FinishReason != "tool_calls" || len(got.Message.ToolCalls) != len(names) {
		t.Fatalf("got %s", got.RawJSON())
	}
	p.Messages = append(p.Messages, got.Message.ToParam())
	var want []string
	for i, call := range got.Message.ToolCalls {
		var arguments struct{ City string }
		if err := json.Unmarshal([]byte(call.Function.Arguments), &arguments); err != nil || arguments.City == "" || call.Function.Name != names[i] {
			t.Errorf("call %d: %s, %v", i, call.RawJSON(), err)
		}
		result := fmt.Sprintf("%s of %s is fine", call.Function.Name, arguments.City)
		p.Messages = append(p.Messages, openai.ToolMessage(result, call.ID))
		want = append(want, result)
	}
	content := s.both(t, p).Choices[0].Message.Content
	for _, result := range want {
		if !strings.Contains(content, result) {
			t.Errorf("got %q, without %q", content, result)
		}
	}
}

func (s *openAISuite) structured(t *testing.T) {
	p := chat("echo", say("a person"))
	p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
		Name: "person", Strict: openai.Bool(true), Schema: map[string]any{
			"type": "object", "additionalProperties": false, "required": []string{"name", "age"},
			"properties": map[string]any{"name": map[string]any{"type": "string"}, "age": map[string]any{"type": "integer"}},
		},
	}}
	var person struct {
		Name string
		Age  int
	}
	if err := json.Unmarshal([]byte(s.both(t, p).Choices[0].Message.Content), &person); err != nil || person.Name == "" || person.Age == 0 {
		t.Errorf("got %+v, %v", person, err)
	}
}

func (s *openAISuite) choices(t *testing.T) {
	p := chat("echo", say("again and again"))
	p.N = openai.Int(3)
	plain, err := s.client.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answer(*plain), answer(s.accumulate(t, p))); diff != "" {
		t.Errorf("(-plain +streamed):\n%s", diff)
	}
	if len(plain.Choices) != 3 || plain.Choices[2].Message.Content != "again and again" {
		t.Errorf("got %s", plain.RawJSON())
	}
}

func (s *openAISuite) errors(t *testing.T) {
	for _, test := range []struct {
		name   string
		key    string
		params openai.ChatCompletionNewParams
		status int
		code   string
		param  string
	}{
		{"bad field", key, openai.ChatCompletionNewParams{Model: "echo", Messages: []openai.ChatCompletionMessageParamUnion{say("hi")}, Temperature: openai.Float(7)}, 400, "", "temperature"},
		{"no messages", key, chat("echo"), 400, "", "messages"},
		{"key", "sk-wrong", chat("echo", say("hi")), 401, "invalid_api_key", ""},
		{"model", key, chat("echo/nope", say("hi")), 404, "model_not_found", "model"},
		{"rate limit", key, chat("echo/fail", say("rate_limited")), 429, "rate_limit_exceeded", ""},
		{"quota", key, chat("echo/fail", say("quota_exhausted")), 429, "insufficient_quota", ""},
		{"overload", key, chat("echo/fail", say("overloaded")), 503, "overloaded", ""},
		{"upstream", key, chat("echo/fail", say("upstream_failure")), 502, "upstream_failure", ""},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", test.name, streamed), func(t *testing.T) {
				c := s.with(test.key)
				var err error
				if streamed {
					stream := c.Chat.Completions.NewStreaming(t.Context(), test.params)
					stream.Next()
					err = stream.Err()
				} else {
					_, err = c.Chat.Completions.New(t.Context(), test.params)
				}
				e, ok := errors.AsType[*openai.Error](err)
				if !ok || e.StatusCode != test.status || e.Code != test.code || e.Param != test.param || e.Message == "" || e.Type == "" {
					t.Fatalf("got %v", err)
				}
				if h := e.Response.Header; h.Get("X-Request-Id") == "" || test.status == 429 && h.Get("Retry-After") == "" {
					t.Errorf("headers %v", h)
				}
			})
		}
	}
}

func (s *openAISuite) midstream(t *testing.T) {
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), chat("echo/fail-midstream", say("one two three four overloaded")))
	text := ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text += c.Delta.Content
			if c.FinishReason != "" {
				t.Errorf("ended with %s", c.FinishReason)
			}
		}
	}
	if err := stream.Err(); err == nil || text == "" || !strings.Contains(err.Error(), "echo failed as it was asked to") {
		t.Errorf("got %q, %v", text, err)
	}
}

func (s *openAISuite) abort(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream := s.client.Chat.Completions.NewStreaming(ctx, chat("echo/slow", say("a b c d e f g h i j")))
	for stream.Next() {
		leave()
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expectLeft(t, s.server, 1)
}

func (s *openAISuite) completion(t *testing.T) {
	got, err := s.client.Completions.New(t.Context(), openai.CompletionNewParams{Model: "echo", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("say it")}})
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Choices; len(c) != 1 || c[0].Text != "say it" || c[0].FinishReason != "stop" || got.Usage.TotalTokens < 2 {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *openAISuite) completionStream(t *testing.T) {
	stream := s.client.Completions.NewStreaming(t.Context(), openai.CompletionNewParams{Model: "echo", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("say it slowly")}})
	text, finish := "", ""
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text += c.Text
			finish += string(c.FinishReason)
		}
	}
	if err := stream.Err(); err != nil || text != "say it slowly" || finish != "stop" {
		t.Errorf("got %q, %s, %v", text, finish, err)
	}
}

func (s *openAISuite) models(t *testing.T) {
	var ids []string
	pages := s.client.Models.ListAutoPaging(t.Context())
	for pages.Next() {
		ids = append(ids, pages.Current().ID)
	}
	if err := pages.Err(); err != nil || !slices.Contains(ids, "echo") || !slices.Contains(ids, "echo/slow") {
		t.Errorf("got %q, %v", ids, err)
	}
}

func (s *openAISuite) model(t *testing.T) {
	if got, err := s.client.Models.Get(t.Context(), "echo/slow"); err != nil || got.ID != "echo/slow" || got.OwnedBy != "echo" {
		t.Errorf("got %+v, %v", got, err)
	}
	_, err := s.client.Models.Get(t.Context(), "echo/nope")
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusNotFound {
		t.Errorf("got %v", err)
	}
}

func (s *openAISuite) embeddings(t *testing.T) {
	_, err := s.client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "echo", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusNotImplemented || e.Code != "not_implemented" {
		t.Errorf("got %v", err)
	}
}

package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

// TestOfficialClient reads everything with OpenAI's own client.
func TestOfficialClient(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	client := officialClient(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	params := openai.ChatCompletionNewParams{
		Model:         "echo",
		Messages:      []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("be terse"), openai.UserMessage("hi")},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	answer, err := client.Chat.Completions.New(ctx, params)
	if err != nil {
		t.Fatal(err)
	}
	if e.Turn().System != "be terse" {
		t.Errorf("system is %q", e.Turn().System)
	}
	stream := client.Chat.Completions.NewStreaming(ctx, params)
	acc := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("a chunk does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	plain, streamed := answer.Choices[0], acc.Choices[0]
	if plain.Message.Content != streamed.Message.Content || plain.FinishReason != streamed.FinishReason || len(streamed.Message.ToolCalls) != 2 {
		t.Errorf("plain %q %s, streamed %q %s", plain.Message.Content, plain.FinishReason, streamed.Message.Content, streamed.FinishReason)
	}
	for i, call := range plain.Message.ToolCalls {
		if got := streamed.Message.ToolCalls[i]; got.ID != call.ID || got.Function.Name != call.Function.Name || got.Function.Arguments != call.Function.Arguments {
			t.Errorf("call %d: plain %s, streamed %s %s", i, call.RawJSON(), got.ID, got.Function.Arguments)
		}
	}
	if acc.Usage.TotalTokens != 30 || answer.Usage.TotalTokens != 30 || answer.Usage.PromptTokensDetails.CachedTokens != 4 {
		t.Errorf("usage: plain %+v, streamed %+v", answer.Usage, acc.Usage)
	}
	models, err := client.Models.List(ctx)
	if err != nil || len(models.Data) != 3 {
		t.Errorf("models: %v, %v", models, err)
	}
}

// answers is an engine whose turns say what they were asked, each with an own number.
type answers struct {
	dialecttest.Engine
	turns atomic.Int64
}

func (e *answers) Execute(_ context.Context, t *engine.Turn) (*engine.Execution, error) {
	e.turns.Add(1)
	said := fmt.Sprint(t.Messages[0].Parts[0])
	return engine.Replay("turn_1", "echo", t.Model, dialecttest.Source([]engine.Event{
		&engine.Started{}, &engine.TextDelta{Text: "said "}, &engine.TextDelta{Text: said},
		&engine.Completed{Reason: engine.FinishStop, Usage: engine.Usage{InputTokens: ptr(int64(3)), OutputTokens: ptr(int64(2))}},
	}, nil)), nil
}

// TestOfficialClientWithChoices asks for three choices, plain and as a stream.
func TestOfficialClientWithChoices(t *testing.T) {
	e := &answers{}
	client := officialClient(t, e)
	params := openai.ChatCompletionNewParams{
		Model: "echo", N: openai.Int(3), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")},
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	answer, err := client.Chat.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	acc := openai.ChatCompletionAccumulator{}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("a chunk does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]openai.ChatCompletion{"plain": *answer, "stream": acc.ChatCompletion} {
		if len(got.Choices) != 3 || got.Usage.TotalTokens != 15 {
			t.Fatalf("%s: %d choices, usage %+v", name, len(got.Choices), got.Usage)
		}
		for i, c := range got.Choices {
			if int(c.Index) != i || c.Message.Content != "said hi" || c.FinishReason != "stop" {
				t.Errorf("%s: choice %d is %q %s, index %d", name, i, c.Message.Content, c.FinishReason, c.Index)
			}
		}
	}
	if e.turns.Load() != 6 {
		t.Errorf("%d turns", e.turns.Load())
	}
}

func TestOfficialClientWithCompletions(t *testing.T) {
	client := officialClient(t, &answers{})
	params := openai.CompletionNewParams{
		Model: "echo", Prompt: openai.CompletionNewParamsPromptUnion{OfArrayOfStrings: []string{"a", "b"}}, Echo: openai.Bool(true),
		StreamOptions: openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)},
	}
	answer, err := client.Completions.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"asaid a", "bsaid b"}
	var got []string
	for _, c := range answer.Choices {
		got = append(got, c.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" || answer.Usage.TotalTokens != 10 {
		t.Errorf("plain: %s %+v", diff, answer.Usage)
	}
	streamed, ends := make([]string, 2), 0
	var usage openai.CompletionUsage
	stream := client.Completions.NewStreaming(t.Context(), params)
	for stream.Next() {
		usage = stream.Current().Usage
		for _, c := range stream.Current().Choices {
			streamed[c.Index] += c.Text
			if c.FinishReason == "stop" {
				ends++
			}
		}
	}
	if diff := cmp.Diff(want, streamed); diff != "" || stream.Err() != nil || ends != 2 || usage.TotalTokens != 10 {
		t.Errorf("stream: %v, %d ends, %+v\n%s", stream.Err(), ends, usage, diff)
	}
}

func officialClient(t *testing.T, e Engine) openai.Client {
	t.Helper()
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	return openai.NewClient(option.WithBaseURL(s.URL+"/openai/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
}

func TestOfficialClientErrors(t *testing.T) {
	e := &dialecttest.Engine{
		Events:  sample[:4],
		Failure: &engine.Error{Code: engine.CodeRateLimited, Message: "slow down", RetryAfter: 1500 * time.Millisecond},
	}
	client := officialClient(t, e)
	params := openai.ChatCompletionNewParams{Model: "echo", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hi")}}
	_, err := client.Chat.Completions.New(t.Context(), params)
	apiErr, ok := errors.AsType[*openai.Error](err)
	if !ok || apiErr.StatusCode != http.StatusTooManyRequests || apiErr.Code != "rate_limit_exceeded" || apiErr.Message != "slow down" {
		t.Fatalf("got %v", err)
	}
	if h := apiErr.Response.Header; h.Get("Retry-After") != "2" || h.Get("Retry-After-Ms") != "1500" {
		t.Errorf("retry headers: %v", h)
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), params)
	for stream.Next() {
		if stream.Current().Choices[0].FinishReason != "" {
			t.Errorf("a failed stream ended: %s", stream.Current().RawJSON())
		}
	}
	if stream.Err() == nil || !strings.Contains(stream.Err().Error(), "slow down") {
		t.Errorf("the stream's error is %v", stream.Err())
	}
}

package openai

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

func send(t *testing.T, url, body string) (*http.Response, []byte) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return res, read(t, res)
}

func read(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func get(t *testing.T, url string) (*http.Response, []byte) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return res, read(t, res)
}

func TestModels(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	for _, prefix := range prefixes {
		res, body := get(t, s.URL+prefix+"/models")
		var list struct{ Data []json.RawMessage }
		if err := json.Unmarshal(body, &list); err != nil || res.StatusCode != http.StatusOK || len(list.Data) != 3 {
			t.Fatalf("%s: %d %s", prefix, res.StatusCode, body)
		}
		for _, m := range list.Data {
			dialecttest.Valid(t, "OpenAIModel", m)
		}
		for _, id := range []string{"echo/known", "echo%2Fknown"} {
			if _, one := get(t, s.URL+prefix+"/models/"+id); string(one) != string(list.Data[2]) {
				t.Errorf("%s%s: got %s, the list has %s", prefix, id, one, list.Data[2])
			}
		}
		res, body = get(t, s.URL+prefix+"/models/nope")
		dialecttest.Valid(t, "OpenAIError", body)
		if res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), `"code":"model_not_found"`) || !strings.Contains(string(body), "nope") {
			t.Errorf("an unknown model: %d %s", res.StatusCode, body)
		}
	}
}

func TestErrorsOverHTTP(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	chat := s.URL + "/openai/v1/chat/completions"
	for name, tt := range map[string]struct {
		method, url, contentType, body string
		status                         int
		contains                       string
	}{
		"bad field":    {"POST", chat, "application/json", `{"model":"m","messages":[{"role":"user","content":1}]}`, 400, `"param":"messages[0].content"`},
		"bad JSON":     {"POST", chat, "application/json", `{"model":`, 400, `"param":null`},
		"no such path": {"POST", s.URL + "/v1/nope", "application/json", `{}`, 404, `"type":"invalid_request_error"`},
		"method":       {"DELETE", chat, "", ``, 405, `"type":"invalid_request_error"`},
		"content type": {"POST", chat, "text/plain", `{}`, 415, `"type":"invalid_request_error"`},
		"embeddings":   {"POST", s.URL + "/openai/v1/embeddings", "application/json", `{}`, 501, `embeddings`},
		"images":       {"POST", s.URL + "/v1/images/generations", "application/json", `{}`, 501, `images`},
		"files":        {"GET", s.URL + "/openai/files/x/content", "", ``, 501, `files`},
		"mode header":  {"POST", chat, "application/json", `{"model":"m","messages":[{"role":"user","content":"x"}]}`, 400, `X-Clinvk-Mode`},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, tt.url, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.contentType != "" {
				req.Header.Set("Content-Type", tt.contentType)
			}
			if name == "mode header" {
				req.Header.Set("X-Clinvk-Mode", "wild")
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body := read(t, res)
			dialecttest.Valid(t, "OpenAIError", body)
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.contains) || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s %s", res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			if again := res.Header.Get("X-Should-Retry"); (tt.status >= 500) != (again == "false") {
				t.Errorf("X-Should-Retry is %q with %d", again, res.StatusCode)
			}
		})
	}
}

func TestChatOverHTTP(t *testing.T) {
	e := &dialecttest.Engine{Events: sample, Ignored: []string{engine.FieldMaxOutputTokens}}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	const request = `{"model":"echo","max_tokens":9,"messages":[{"role":"user","content":"hi"}]`
	res, body := send(t, s.URL+"/v1/chat/completions", request+"}")
	want := readAnswer(t, body)
	if res.Header.Get("X-Clinvk-Ignored") != "max_tokens" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("headers: %v", res.Header)
	}
	if !strings.Contains(string(body), `"id":"chatcmpl-0123456789abcdef"`) || !strings.Contains(string(body), `"model":"echo"`) {
		t.Errorf("head: %s", body)
	}
	res, body = send(t, s.URL+"/v1/chat/completions", request+`,"stream":true,"stream_options":{"include_usage":true}}`)
	if diff := cmp.Diff(want, readStream(t, body, true)); diff != "" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("the stream: %v\n%s", res.Header, diff)
	}
	if e.Turn().Sampling.MaxOutputTokens == nil {
		t.Error("the turn lost max_tokens")
	}
}

func TestStrictParams(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	s := dialecttest.Serve(t, New(Config{Engine: e, StrictParams: true}))
	res, body := send(t, s.URL+"/v1/chat/completions", `{"model":"m","verbosity":"low","messages":[{"role":"user","content":"hi"}]}`)
	if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), `"param":"verbosity"`) || e.Turn() != nil {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	if res, body := send(t, s.URL+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`); res.StatusCode != http.StatusOK || !e.Turn().StrictParams {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

// TestOfficialClient reads everything with OpenAI's own client.
func TestOfficialClient(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	client := openai.NewClient(option.WithBaseURL(s.URL+"/openai/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
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

func TestOfficialClientErrors(t *testing.T) {
	e := &dialecttest.Engine{
		Events:  sample[:4],
		Failure: &engine.Error{Code: engine.CodeRateLimited, Message: "slow down", RetryAfter: 1500 * time.Millisecond},
	}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	client := openai.NewClient(option.WithBaseURL(s.URL+"/openai/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
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

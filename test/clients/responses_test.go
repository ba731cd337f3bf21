//go:build unix

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"

	"github.com/clinvk/clinvk/test/await"
)

const (
	pathResponses = "POST /openai/v1/responses"
	pathResponse  = "/openai/v1/responses/{id}"
)

func (s *openAISuite) responses() []behaviour {
	return []behaviour{
		{pathResponses, "plain", s.response},
		{pathResponses, "stream", s.responseStream},
		{pathResponses, "tools", s.responseTools},
		{pathResponses, "structured output", s.responseStructured},
		{pathResponses, "previous_response_id", s.previous},
		{pathResponses, "background", s.background},
		{pathResponses, "background in a session", s.backgroundSession},
		{pathResponses, "errors", s.responseErrors},
		{pathResponses, "error in mid-stream", s.responseMidstream},
		{pathResponses, "abort", s.responseAbort},
		{"GET " + pathResponse, "get", s.getResponse},
		{"DELETE " + pathResponse, "delete", s.deleteResponse},
	}
}

func input(model, text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: model, Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

func (s *openAISuite) respond(t *testing.T, p responses.ResponseNewParams) *responses.Response {
	t.Helper()
	got, err := s.client.Responses.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// respondBoth asks in both forms and compares them.
func (s *openAISuite) respondBoth(t *testing.T, p responses.ResponseNewParams) *responses.Response {
	t.Helper()
	plain := s.respond(t, p)
	stream := s.client.Responses.NewStreaming(t.Context(), p)
	defer stream.Close()
	var last responses.Response
	var deltas strings.Builder
	for next := int64(0); stream.Next(); next++ {
		e := stream.Current()
		if e.SequenceNumber != next {
			t.Errorf("event %d has the number %d", next, e.SequenceNumber)
		}
		switch e.Type {
		case "response.output_text.delta":
			deltas.WriteString(e.Delta)
		case "response.completed":
			last = e.Response
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outputs(plain), outputs(&last)); diff != "" {
		t.Errorf("(-plain +streamed):\n%s", diff)
	}
	if deltas.String() != plain.OutputText() {
		t.Errorf("the deltas are %q", deltas.String())
	}
	return plain
}

// outputs is what both forms of an answer must have in common.
func outputs(r *responses.Response) any {
	out := []any{r.Model, r.Status, r.OutputText(), r.Usage.InputTokens, r.Usage.OutputTokens, r.Usage.TotalTokens}
	for _, item := range r.Output {
		out = append(out, item.Type, item.Name, item.CallID, item.Arguments.OfString)
	}
	return out
}

func (s *openAISuite) response(t *testing.T) {
	p := input("echo/transcript", "hello ✓")
	p.Instructions = openai.String("be terse")
	got := s.respond(t, p)
	if got.OutputText() != "system: be terse\nuser: hello ✓\n" || got.Status != responses.ResponseStatusCompleted {
		t.Errorf("got %s", got.RawJSON())
	}
	if u := got.Usage; u.InputTokens < 1 || u.TotalTokens != u.InputTokens+u.OutputTokens || !strings.HasPrefix(got.ID, "resp_") {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *openAISuite) responseStream(t *testing.T) {
	if got := s.respondBoth(t, input("echo", "the quick brown fox 🦊 jumps")); got.OutputText() != "the quick brown fox 🦊 jumps" {
		t.Errorf("got %s", got.RawJSON())
	}
}

func (s *openAISuite) responseTools(t *testing.T) {
	p := input("echo/tool", `[[tool weather {"city":"Oslo"}]][[tool time {"city":"Bergen"}]]`)
	for _, name := range []string{"weather", "time"} {
		p.Tools = append(p.Tools, responses.ToolParamOfFunction(name, map[string]any{
			"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}, "additionalProperties": false,
		}, true))
	}
	got := s.respondBoth(t, p)
	items := responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(p.Input.OfString.Value, responses.EasyInputMessageRoleUser)}
	var results responses.ResponseInputParam
	for _, item := range got.Output {
		call := item.AsFunctionCall()
		items = append(items, responses.ResponseInputItemParamOfFunctionCall(call.Arguments, call.CallID, call.Name))
		result := responses.ResponseInputItemParamOfFunctionCallOutput(call.Name + " is fine")
		result.OfFunctionCallOutput.CallID = openai.String(call.CallID)
		results = append(results, result)
	}
	if len(results) != 2 {
		t.Fatalf("got %s", got.RawJSON())
	}
	for name, next := range map[string]responses.ResponseNewParams{
		"whole history": {Model: p.Model, Tools: p.Tools, Input: responses.ResponseNewParamsInputUnion{OfInputItemList: append(items, results...)}},
		"stored":        {Model: p.Model, Tools: p.Tools, Input: responses.ResponseNewParamsInputUnion{OfInputItemList: results}, PreviousResponseID: openai.String(got.ID)},
	} {
		if text := s.respondBoth(t, next).OutputText(); !strings.Contains(text, "weather is fine") || !strings.Contains(text, "time is fine") {
			t.Errorf("%s: got %q", name, text)
		}
	}
}

func (s *openAISuite) responseStructured(t *testing.T) {
	p := input("echo", "a person")
	p.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("person", map[string]any{
		"type": "object", "additionalProperties": false, "required": []string{"name"}, "properties": map[string]any{"name": map[string]any{"type": "string"}},
	})
	var person struct{ Name string }
	if err := json.Unmarshal([]byte(s.respondBoth(t, p).OutputText()), &person); err != nil || person.Name == "" {
		t.Errorf("got %+v, %v", person, err)
	}
}

func (s *openAISuite) previous(t *testing.T) {
	first := s.respond(t, input("echo", "one"))
	p := input("echo/transcript", "two")
	p.PreviousResponseID = openai.String(first.ID)
	if got := s.respondBoth(t, p).OutputText(); got != "user: one\nassistant: one\nuser: two\n" {
		t.Errorf("got %q", got)
	}
	p.PreviousResponseID = openai.String("resp_nope")
	_, err := s.client.Responses.New(t.Context(), p)
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode/100 != 4 || e.Param != "previous_response_id" {
		t.Errorf("got %v", err)
	}
}

func (s *openAISuite) background(t *testing.T) {
	p := input("echo/slow", "a b c")
	p.Background = openai.Bool(true)
	begun := s.respond(t, p)
	if begun.Status != responses.ResponseStatusQueued && begun.Status != responses.ResponseStatusInProgress {
		t.Fatalf("got %s", begun.RawJSON())
	}
	await.Until(t, 20*time.Second, "the response completes in the background", func() bool {
		got, err := s.client.Responses.Get(t.Context(), begun.ID, responses.ResponseGetParams{})
		return err == nil && got.Status == responses.ResponseStatusCompleted && got.OutputText() == "a b c"
	})
	begun = s.respond(t, p)
	got, err := s.client.Responses.Cancel(t.Context(), begun.ID)
	if err != nil || got.Status != responses.ResponseStatusCancelled {
		t.Errorf("got %+v, %v", got, err)
	}
}

// backgroundSession: a session gets the turn of a response in the background, and goes on
// with what follows.
func (s *openAISuite) backgroundSession(t *testing.T) {
	session := option.WithHeader("X-Clinvk-Session", "in-the-background")
	p := input("echo/slow", "a b c")
	p.Background = openai.Bool(true)
	begun, err := s.client.Responses.New(t.Context(), p, session)
	if err != nil {
		t.Fatal(err)
	}
	await.Until(t, 20*time.Second, "the response completes in the background", func() bool {
		got, err := s.client.Responses.Get(t.Context(), begun.ID, responses.ResponseGetParams{})
		return err == nil && got.Status == responses.ResponseStatusCompleted
	})
	got, err := s.client.Responses.New(t.Context(), input("echo/transcript", "and now?"), session)
	if err != nil || got.OutputText() != "user: a b c\nassistant: a b c\nuser: and now?\n" {
		t.Errorf("got %v, %v", got, err)
	}
}

func (s *openAISuite) responseErrors(t *testing.T) {
	bad := input("echo", "hi")
	bad.Temperature = openai.Float(7)
	for _, test := range []struct {
		name   string
		key    string
		params responses.ResponseNewParams
		status int
		code   string
	}{
		{"bad field", key, bad, 400, ""},
		{"key", "sk-wrong", input("echo", "hi"), 401, "invalid_api_key"},
		{"model", key, input("echo/nope", "hi"), 404, "model_not_found"},
		{"rate limit", key, input("echo/fail", "rate_limited"), 429, "rate_limit_exceeded"},
		{"overload", key, input("echo/fail", "overloaded"), 503, "overloaded"},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", test.name, streamed), func(t *testing.T) {
				c := s.with(test.key)
				var err error
				if streamed {
					stream := c.Responses.NewStreaming(t.Context(), test.params)
					stream.Next()
					err = stream.Err()
				} else {
					_, err = c.Responses.New(t.Context(), test.params)
				}
				if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != test.status || e.Code != test.code {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

func (s *openAISuite) responseMidstream(t *testing.T) {
	stream := s.client.Responses.NewStreaming(t.Context(), input("echo/fail-midstream", "one two three four overloaded"))
	failed := ""
	for stream.Next() {
		switch e := stream.Current(); e.Type {
		case "response.completed":
			t.Errorf("it completed: %s", e.RawJSON())
		case "response.failed":
			failed = e.Response.Error.Message
		}
	}
	if err := stream.Err(); err != nil {
		failed += err.Error()
	}
	if !strings.Contains(failed, "as it was asked to") {
		t.Errorf("got %q", failed)
	}
}

func (s *openAISuite) responseAbort(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream := s.client.Responses.NewStreaming(ctx, input("echo/slow", "a b c d e f g h i j"))
	for stream.Next() {
		if stream.Current().Type == "response.output_text.delta" {
			leave()
		}
	}
	if err := stream.Err(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	expectLeft(t, s.server, 2) // the first left a chat
}

func (s *openAISuite) getResponse(t *testing.T) {
	want := s.respond(t, input("echo", "keep this"))
	got, err := s.client.Responses.Get(t.Context(), want.ID, responses.ResponseGetParams{})
	if err != nil || got.ID != want.ID || got.OutputText() != "keep this" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func (s *openAISuite) deleteResponse(t *testing.T) {
	r := s.respond(t, input("echo", "forget this"))
	if err := s.client.Responses.Delete(t.Context(), r.ID); err != nil {
		t.Fatal(err)
	}
	_, err := s.client.Responses.Get(t.Context(), r.ID, responses.ResponseGetParams{})
	if e, ok := errors.AsType[*openai.Error](err); !ok || e.StatusCode != http.StatusNotFound {
		t.Errorf("got %v", err)
	}
}

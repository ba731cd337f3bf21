package anthropic

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/shared"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/meta"
)

// What Anthropic's own client makes of any stream is the plain message.
func TestClientAccumulates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := dialecttest.Events(t)
		s := testShape
		s.beta = rapid.Bool().Draw(t, "beta")
		var acc sdk.Message
		for _, e := range dialecttest.ReadSSE(t, dialecttest.Encode(newStream(s), events, nil)) {
			var ev sdk.MessageStreamEventUnion
			if err := json.Unmarshal([]byte(e.Data), &ev); err != nil {
				t.Fatal(err)
			}
			if err := acc.Accumulate(ev); err != nil {
				t.Fatalf("%v: %s", err, e.Data)
			}
		}
		want := normal(t, string(encodeAnswer(s, collect(t, events))))
		if diff := cmp.Diff(want, normal(t, acc.RawJSON())); diff != "" {
			t.Fatalf("(-plain +accumulated):\n%s", diff)
		}
	})
}

// normal is a message without what a message_delta cannot tell: how the tokens that
// were written to the cache are kept.
func normal(t *rapid.T, message string) map[string]any {
	var m map[string]any
	if err := json.Unmarshal([]byte(message), &m); err != nil {
		t.Fatalf("%v: %s", err, message)
	}
	usage, ok := m["usage"].(map[string]any)
	if !ok {
		t.Fatalf("no usage: %s", message)
	}
	delete(usage, "cache_creation")
	return m
}

func TestClientCounts(t *testing.T) {
	e := &dialecttest.Engine{Count: engine.TokenCount{Input: 42, Backend: "echo", Estimated: true}}
	c := client(dialecttest.Serve(t, New(Config{Engine: e})).URL)
	var res *http.Response
	got, err := c.Messages.CountTokens(t.Context(), sdk.MessageCountTokensParams{
		Model: "echo", Messages: params.Messages,
		System: sdk.MessageCountTokensParamsSystemUnion{OfTextBlockArray: params.System},
		Tools:  []sdk.MessageCountTokensToolUnionParam{sdk.MessageCountTokensToolParamOfTool(sdk.ToolInputSchemaParam{Properties: map[string]any{}}, "add")},
	}, option.WithResponseInto(&res))
	if err != nil || got.InputTokens != 42 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if turn := e.Turn(); turn.Model != "echo" || turn.System != "be terse" || len(turn.Messages) != 1 || len(turn.Tools) != 1 {
		t.Errorf("counted %+v", turn)
	}
	if h := res.Header; h.Get("X-Clinvk-Estimated") != "true" || h.Get("X-Clinvk-Backend") != "echo" || h.Get("Request-Id") == "" {
		t.Errorf("headers: %v", h)
	}
	beta, err := c.Beta.Messages.CountTokens(t.Context(), sdk.BetaMessageCountTokensParams{
		Model: "echo", Messages: []sdk.BetaMessageParam{sdk.NewBetaUserMessage(sdk.NewBetaTextBlock("hi"))},
	})
	if err != nil || beta.InputTokens != 42 || beta.JSON.ContextManagement.Raw() != "null" {
		t.Errorf("got %s, %v", beta.RawJSON(), err)
	}
}

func TestCountOverHTTP(t *testing.T) {
	e := &dialecttest.Engine{Count: engine.TokenCount{Input: 7, Backend: "echo"}}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	const body = `{"model":"echo","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"web_search_20250305","name":"web_search"}],"stream":true}`
	for path, want := range map[string]string{
		"/anthropic/v1/messages/count_tokens":           `{"input_tokens":7}`,
		"/anthropic/v1/messages/count_tokens?beta=true": `{"input_tokens":7,"context_management":null}`,
		"/anthropic/v1/v1/messages/count_tokens":        `{"input_tokens":7}`,
	} {
		res, got := send(t, "POST", s.URL+path, "application/json", body)
		dialecttest.Valid(t, "CountTokensRequest", []byte(body))
		dialecttest.Valid(t, "AnthropicTokenCount", got)
		if res.StatusCode != http.StatusOK || string(got) != want {
			t.Errorf("%s: got %d %s", path, res.StatusCode, got)
		}
		if h := res.Header; h.Get("X-Clinvk-Estimated") != "" || h.Get("X-Clinvk-Ignored") != "tools.web_search" {
			t.Errorf("%s: headers %v", path, h)
		}
	}
	e.Refusal = engine.Errorf(engine.CodeModelNotFound, `the model "echo" does not exist`)
	if res, got := send(t, "POST", s.URL+"/anthropic/v1/messages/count_tokens", "application/json", body); res.StatusCode != http.StatusNotFound {
		t.Errorf("got %d %s", res.StatusCode, got)
	}
}

// The beta API's messages have keys of their own; the client's types say that they are
// always there.
func TestClientBeta(t *testing.T) {
	c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: sample}})).URL)
	p := sdk.BetaMessageNewParams{
		Model: "echo", MaxTokens: 4096, Betas: []sdk.AnthropicBeta{"anything-2030-01-01"},
		Messages: []sdk.BetaMessageParam{sdk.NewBetaUserMessage(sdk.NewBetaTextBlock("hi"))},
		Thinking: sdk.BetaThinkingConfigParamOfEnabled(2048),
	}
	plain, err := c.Beta.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"context_management": plain.JSON.ContextManagement.Raw(), "usage.iterations": plain.Usage.JSON.Iterations.Raw(),
		"usage.fallback_credit": plain.Usage.JSON.FallbackCredit.Raw(),
	} {
		if raw != "null" {
			t.Errorf("%s is %q", name, raw)
		}
	}
	stream := c.Beta.Messages.NewStreaming(t.Context(), p)
	var acc sdk.BetaMessage
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := canonical(t, acc.RawJSON()), canonical(t, plain.RawJSON()); got != want {
		t.Errorf("plain and streamed differ:\n%s", cmp.Diff(want, got))
	}
}

// missingKeys lists keys of a type of the client's that an answer lacks. Those that
// the client fills in by itself are left out.
func missingKeys(t *testing.T, raw string, v any, mayLack ...string) {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatal(err)
	}
	lacks := map[string]bool{}
	for _, key := range mayLack {
		lacks[key] = true
	}
	for _, key := range keys(v) {
		if _, ok := m[key]; !ok && !lacks[key] {
			t.Errorf("a %T without %s: %s", v, key, raw)
		}
	}
}

// Every key of the client's types is there.
func TestEveryKey(t *testing.T) {
	c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: sample}})).URL)
	answer, err := c.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	missingKeys(t, answer.RawJSON(), sdk.Message{})
	missingKeys(t, answer.Usage.RawJSON(), sdk.Usage{})
	missingKeys(t, answer.Usage.CacheCreation.RawJSON(), sdk.CacheCreation{})
	missingKeys(t, answer.Usage.OutputTokensDetails.RawJSON(), sdk.OutputTokensDetails{})
	for _, block := range answer.Content {
		switch b := block.AsAny().(type) {
		case sdk.TextBlock:
			missingKeys(t, b.RawJSON(), b)
		case sdk.ThinkingBlock:
			missingKeys(t, b.RawJSON(), b)
		case sdk.RedactedThinkingBlock:
			missingKeys(t, b.RawJSON(), b)
		case sdk.ToolUseBlock:
			missingKeys(t, b.RawJSON(), b, "toolset_name") // optional
		default:
			t.Errorf("an unknown block: %s", block.RawJSON())
		}
	}
	stream := c.Messages.NewStreaming(t.Context(), params)
	for stream.Next() {
		switch ev := stream.Current().AsAny().(type) {
		case sdk.MessageStartEvent:
			missingKeys(t, ev.Message.RawJSON(), sdk.Message{})
			if ev.Message.Usage.InputTokens != 4 {
				t.Errorf("the stream begins without the input: %s", ev.RawJSON())
			}
		case sdk.MessageDeltaEvent:
			missingKeys(t, ev.RawJSON(), ev)
			missingKeys(t, ev.Delta.RawJSON(), ev.Delta)
			missingKeys(t, ev.Usage.RawJSON(), ev.Usage)
		}
	}
	if stream.Err() != nil {
		t.Error(stream.Err())
	}
	models, err := c.Models.List(t.Context(), sdk.ModelListParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models.Data {
		missingKeys(t, m.RawJSON(), m)
	}
}

func TestClientPagesModels(t *testing.T) {
	c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}})).URL)
	var ids []string
	pages := c.Models.ListAutoPaging(t.Context(), sdk.ModelListParams{Limit: sdk.Int(1)})
	for pages.Next() {
		ids = append(ids, pages.Current().ID)
	}
	if diff := cmp.Diff([]string{"alias", "echo", "echo/known"}, ids); diff != "" || pages.Err() != nil {
		t.Errorf("%v\n%s", pages.Err(), diff)
	}
	one, err := c.Models.Get(t.Context(), "echo/known", sdk.ModelGetParams{})
	if err != nil || one.ID != "echo/known" || one.DisplayName != "Known" {
		t.Errorf("got %+v, %v", one, err)
	}
	_, err = c.Models.Get(t.Context(), "nope", sdk.ModelGetParams{})
	if apiErr, ok := errors.AsType[*sdk.Error](err); !ok || apiErr.Type() != shared.ErrorTypeNotFoundError || !strings.Contains(apiErr.Error(), "nope") {
		t.Errorf("got %v", err)
	}
}

// Each way to fail has the status and the type by which the client tells it.
func TestClientErrors(t *testing.T) {
	for code, want := range map[engine.Code]struct {
		status int
		kind   shared.ErrorType
	}{
		engine.CodeInvalidRequest:   {400, shared.ErrorTypeInvalidRequestError},
		engine.CodeUnauthenticated:  {401, shared.ErrorTypeAuthenticationError},
		engine.CodePermissionDenied: {403, shared.ErrorTypePermissionError},
		engine.CodeModelNotFound:    {404, shared.ErrorTypeNotFoundError},
		engine.CodeRateLimited:      {429, shared.ErrorTypeRateLimitError},
		engine.CodeCLIFailure:       {502, shared.ErrorTypeAPIError},
		engine.CodeTimeout:          {504, shared.ErrorTypeTimeoutError},
		engine.CodeOverloaded:       {529, shared.ErrorTypeOverloadedError},
	} {
		c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Refusal: engine.Errorf(code, "why")}})).URL)
		_, err := c.Messages.New(t.Context(), params)
		checkError(t, err, want.status, want.kind)
		stream := c.Messages.NewStreaming(t.Context(), params)
		if stream.Next() {
			t.Errorf("code %d: a stream began", code)
		}
		checkError(t, stream.Err(), want.status, want.kind)
	}
}

func checkError(t *testing.T, err error, status int, kind shared.ErrorType) {
	t.Helper()
	apiErr, ok := errors.AsType[*sdk.Error](err)
	if !ok || apiErr.StatusCode != status || apiErr.Type() != kind {
		t.Errorf("got %v, want %d %s", err, status, kind)
		return
	}
	var body struct {
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(apiErr.RawJSON()), &body); err != nil || body.RequestID != apiErr.RequestID || body.RequestID == "" {
		t.Errorf("request_id is %q, the header says %q: %s", body.RequestID, apiErr.RequestID, apiErr.RawJSON())
	}
}

// What the server answers by itself is in the envelope too.
func TestEnvelopeOfTheServer(t *testing.T) {
	h, err := httpapi.NewServer(httpapi.Config{
		Dialects: []httpapi.Dialect{New(Config{Engine: &dialecttest.Engine{Events: sample}})},
		Fallback: meta.New(meta.Config{Engine: &dialecttest.Engine{}}),
		Keys:     httpapi.NewKeys(apikeys.Plain("secret")), MaxBody: 4096,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	const messages = "/anthropic/v1/messages"
	for name, tt := range map[string]struct {
		method, path, key, contentType, body string
		status                               int
		kind, allow                          string
	}{
		"no key":       {"POST", messages, "", "application/json", `{`, 401, "authentication_error", ""},
		"wrong key":    {"POST", messages + "/count_tokens", "x", "application/json", `{`, 401, "authentication_error", ""},
		"no such path": {"POST", "/anthropic/v2/messages", "secret", "application/json", `{}`, 404, "not_found_error", ""},
		"method":       {"PUT", messages, "secret", "application/json", `{}`, 405, "invalid_request_error", "POST"},
		"model method": {"DELETE", "/anthropic/v1/models/echo", "secret", "", ``, 405, "invalid_request_error", "GET, HEAD"},
		"too large":    {"POST", messages, "secret", "application/json", `{"model":"` + strings.Repeat("x", 5000) + `"}`, 413, "request_too_large", ""},
		"form":         {"POST", messages, "secret", "application/x-www-form-urlencoded", `a=b`, 415, "invalid_request_error", ""},
		"files":        {"GET", "/anthropic/v1/files", "secret", "", ``, 501, "api_error", ""},
		"array":        {"POST", messages + "/count_tokens", "secret", "application/json", `[]`, 400, "invalid_request_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", tt.contentType)
			req.Header.Set("X-Api-Key", tt.key)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var body struct {
				Error     struct{ Type, Message string }
				RequestID string `json:"request_id"`
			}
			if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || body.Error.Type != tt.kind || body.Error.Message == "" || res.Header.Get("Allow") != tt.allow {
				t.Errorf("got %d %+v, Allow %q", res.StatusCode, body, res.Header.Get("Allow"))
			}
			if id := res.Header.Get("Request-Id"); body.RequestID != id || id == "" {
				t.Errorf("request_id is %q, the header says %q", body.RequestID, id)
			}
		})
	}
}

// An answer without content is an empty array, also in a stream.
func TestEmptyAnswer(t *testing.T) {
	events := []engine.Event{&engine.Started{}, &engine.Completed{Reason: engine.FinishStop}}
	c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: events}})).URL)
	answer, err := c.Messages.New(t.Context(), params)
	if err != nil || answer.JSON.Content.Raw() != "[]" || answer.StopReason != sdk.StopReasonEndTurn {
		t.Fatalf("got %s, %v", answer.RawJSON(), err)
	}
	stream := c.Messages.NewStreaming(t.Context(), params)
	var kinds []string
	for stream.Next() {
		kinds = append(kinds, stream.Current().Type)
	}
	if diff := cmp.Diff([]string{"message_start", "message_delta", "message_stop"}, kinds); diff != "" || stream.Err() != nil {
		t.Errorf("%v\n%s", stream.Err(), diff)
	}
}

// A version that has no sampling settings refuses them over HTTP as well.
func TestVersionOverHTTP(t *testing.T) {
	c := client(dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{Events: sample}})).URL)
	p := params
	p.Temperature = sdk.Float(0.5)
	if _, err := c.Messages.New(t.Context(), p); err != nil {
		t.Errorf("2023-06-01: %v", err)
	}
	_, err := c.Messages.New(t.Context(), p, option.WithHeader("Anthropic-Version", "2026-10-21"))
	checkError(t, err, 400, shared.ErrorTypeInvalidRequestError)
	if err == nil || !strings.Contains(err.Error(), "temperature: ") {
		t.Errorf("the error names no field: %v", err)
	}
}

package anthropic

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

func send(t *testing.T, method, url, contentType, body string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res, b
}

func TestModels(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	type page struct {
		Data    []json.RawMessage
		HasMore bool    `json:"has_more"`
		First   *string `json:"first_id"`
		Last    *string `json:"last_id"`
	}
	list := func(query string) (p page) {
		res, body := send(t, "GET", s.URL+"/anthropic/v1/models"+query, "", "")
		if err := json.Unmarshal(body, &p); err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", query, res.StatusCode, body)
		}
		return p
	}
	all := list("")
	for _, m := range all.Data {
		dialecttest.Valid(t, "AnthropicModel", m)
	}
	if len(all.Data) != 3 || all.HasMore || *all.First != "alias" || *all.Last != "echo/known" {
		t.Fatalf("got %+v", all)
	}
	for query, want := range map[string]string{
		"?limit=2":                       "alias echo more",
		"?limit=2&after_id=echo":         "echo/known echo/known",
		"?limit=1&before_id=echo/known":  "echo echo more",
		"?limit=5&before_id=echo/known":  "alias echo",
		"?after_id=echo/known":           "",
		"?limit=1&after_id=alias":        "echo echo more",
		"?limit=1000&before_id=alias&x=": "",
	} {
		p, got := list(query), ""
		if p.First != nil {
			got = *p.First + " " + *p.Last
		}
		if p.HasMore {
			got += " more"
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=x", "?limit=1001", "?after_id=nope", "?before_id=nope"} {
		if res, body := send(t, "GET", s.URL+"/anthropic/v1/models"+query, "", ""); res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, res.StatusCode, body)
		}
	}
	for _, path := range []string{"/anthropic/v1/models/echo/known", "/anthropic/v1/v1/models/echo%2Fknown"} {
		if _, one := send(t, "GET", s.URL+path, "", ""); string(one) != string(all.Data[2]) {
			t.Errorf("%s: got %s, the list has %s", path, one, all.Data[2])
		}
	}
	if res, body := send(t, "GET", s.URL+"/anthropic/v1/models/nope", "", ""); res.StatusCode != http.StatusNotFound || !strings.Contains(string(body), "not_found_error") {
		t.Errorf("an unknown model: %d %s", res.StatusCode, body)
	}
}

func TestErrorsOverHTTP(t *testing.T) {
	s := dialecttest.Serve(t, New(Config{Engine: &dialecttest.Engine{}}))
	messages := s.URL + "/anthropic/v1/messages"
	for name, tt := range map[string]struct {
		method, url, contentType, body string
		status                         int
		contains                       string
	}{
		"bad field":    {"POST", messages, "application/json", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[1]}]}`, 400, `"messages.0.content.0: must be an object, not a number"`},
		"bad JSON":     {"POST", messages, "application/json", `{`, 400, `"invalid_request_error"`},
		"no such path": {"POST", s.URL + "/anthropic/nope", "application/json", `{}`, 404, `"not_found_error"`},
		"method":       {"GET", messages, "", ``, 405, `"invalid_request_error"`},
		"content type": {"POST", messages, "text/plain", `{}`, 415, `"invalid_request_error"`},
		"batches":      {"POST", messages + "/batches", "application/json", `{}`, 501, `batches`},
		"count":        {"POST", messages + "/count_tokens", "application/json", `{}`, 400, `"model: is required"`},
		"count by GET": {"GET", messages + "/count_tokens", "", ``, 405, `"invalid_request_error"`},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := send(t, tt.method, tt.url, tt.contentType, tt.body)
			dialecttest.Valid(t, "AnthropicError", body)
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.contains) {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
			var envelope struct {
				RequestID string `json:"request_id"`
			}
			if err := json.Unmarshal(body, &envelope); err != nil || envelope.RequestID == "" || envelope.RequestID != res.Header.Get("Request-Id") {
				t.Errorf("request_id: %q, header %q", envelope.RequestID, res.Header.Get("Request-Id"))
			}
			if again := res.Header.Get("X-Should-Retry"); (tt.status >= 500) != (again == "false") {
				t.Errorf("X-Should-Retry is %q with %d", again, res.StatusCode)
			}
		})
	}
}

const request = `{"model":"echo","max_tokens":9,"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":"hi"}]`

func TestMessagesOverHTTP(t *testing.T) {
	e := &dialecttest.Engine{Events: sample, Ignored: []string{engine.FieldMaxOutputTokens}}
	s := dialecttest.Serve(t, New(Config{Engine: e}))
	for _, path := range []string{"/anthropic/v1/messages", "/anthropic/v1/messages?beta=true", "/anthropic/v1/v1/messages"} {
		res, body := send(t, "POST", s.URL+path, "application/json", request+"}")
		want := readAnswer(t, body)
		if res.Header.Get("X-Clinvk-Ignored") != "max_tokens" || want.ID != "msg_0123456789abcdef" || want.Model != "echo" {
			t.Errorf("%s: %v %s", path, res.Header, body)
		}
		res, body = send(t, "POST", s.URL+path, "application/json; charset=utf-8", request+`,"stream":true}`)
		if diff := cmp.Diff(want, readStream(t, body)); diff != "" || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: the stream: %v\n%s", path, res.Header, diff)
		}
	}
}

func TestStrictParams(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	s := dialecttest.Serve(t, New(Config{Engine: e, StrictParams: true}))
	for member, problem := range map[string]string{
		`"context_management":{}`:                                      "context_management: is not supported",
		`"tools":[{"type":"web_search_20250305","name":"web_search"}]`: "tools.web_search: is not supported",
		`"temprature":1`:                                               "temprature: is no field of this request",
	} {
		for _, path := range []string{"/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"} {
			res, body := send(t, "POST", s.URL+path, "application/json", request+","+member+"}")
			if res.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), problem) || e.Turn() != nil {
				t.Errorf("%s: got %d %s", path, res.StatusCode, body)
			}
		}
	}
	if res, body := send(t, "POST", s.URL+"/anthropic/v1/messages", "application/json", request+"}"); res.StatusCode != http.StatusOK || !e.Turn().StrictParams {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
}

func client(url string) sdk.Client {
	return sdk.NewClient(option.WithBaseURL(url+"/anthropic"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
}

var params = sdk.MessageNewParams{
	Model: "echo", MaxTokens: 4096,
	System:   []sdk.TextBlockParam{{Text: "be terse"}},
	Messages: []sdk.MessageParam{sdk.NewUserMessage(sdk.NewTextBlock("hi"))},
	Thinking: sdk.ThinkingConfigParamOfEnabled(2048),
}

// TestOfficialClient reads everything with Anthropic's own client.
func TestOfficialClient(t *testing.T) {
	e := &dialecttest.Engine{Events: sample}
	c := client(dialecttest.Serve(t, New(Config{Engine: e})).URL)
	answer, err := c.Messages.New(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if e.Turn().System != "be terse" || *e.Turn().Sampling.ReasoningTokens != 2048 {
		t.Errorf("the turn is %+v", e.Turn())
	}
	stream := c.Messages.NewStreaming(t.Context(), params)
	var acc sdk.Message
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := canonical(t, acc.RawJSON()), canonical(t, answer.RawJSON()); got != want {
		t.Errorf("plain and streamed differ:\n%s", cmp.Diff(want, got))
	}
	if answer.StopReason != sdk.StopReasonToolUse || len(answer.Content) != 6 || answer.Usage.InputTokens != 4 {
		t.Errorf("got %s", answer.RawJSON())
	}
	models, err := c.Models.List(t.Context(), sdk.ModelListParams{})
	if err != nil || len(models.Data) != 3 || !models.Data[2].CreatedAt.Equal(dialecttest.Created) {
		t.Errorf("models: %v, %v", models, err)
	}
}

// canonical sorts the keys of an object.
func canonical(t *testing.T, s string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOfficialClientErrors(t *testing.T) {
	e := &dialecttest.Engine{
		Events:  sample[:6],
		Failure: &engine.Error{Code: engine.CodeOverloaded, Message: "slow down", RetryAfter: 1500 * time.Millisecond},
	}
	c := client(dialecttest.Serve(t, New(Config{Engine: e})).URL)
	_, err := c.Messages.New(t.Context(), params)
	apiErr, ok := errors.AsType[*sdk.Error](err)
	if !ok || apiErr.StatusCode != statusOverloaded || !strings.Contains(apiErr.RawJSON(), "overloaded_error") || apiErr.RequestID == "" {
		t.Fatalf("got %v", err)
	}
	if h := apiErr.Response.Header; h.Get("Retry-After") != "2" || h.Get("Retry-After-Ms") != "1500" {
		t.Errorf("retry headers: %v", h)
	}
	stream := c.Messages.NewStreaming(t.Context(), params)
	for stream.Next() {
		if stream.Current().Type == "message_delta" {
			t.Errorf("a failed stream ended: %s", stream.Current().RawJSON())
		}
	}
	if stream.Err() == nil || !strings.Contains(stream.Err().Error(), "slow down") {
		t.Errorf("the stream's error is %v", stream.Err())
	}
}

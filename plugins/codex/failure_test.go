package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

func TestFailure(t *testing.T) {
	answered := func(status int, wait time.Duration) *appserver.LogRecord {
		return &appserver.LogRecord{Kind: appserver.Answered, Status: status, RetryAfter: wait}
	}
	tests := []struct {
		name     string
		text     string // as the CLI sent it
		answered *appserver.LogRecord
		want     plugins.Error
	}{
		{
			name: "a body that is passed on",
			text: `{"message":"{\"error\":{\"code\":null,\"message\":\"no foo\"}}\n","codexErrorInfo":"other"}`,
			want: plugins.Error{Code: plugins.CodeInvalidRequest, UpstreamStatus: 400, Message: "no foo"},
		},
		{
			name: "a body over WebSocket",
			text: `{"message":"{\"error\":{\"message\":\"no foo\"},\"status\":400,\"type\":\"error\"}","codexErrorInfo":"other"}`,
			want: plugins.Error{Code: plugins.CodeInvalidRequest, UpstreamStatus: 400, Message: "no foo"},
		},
		{
			name: "a model that the account has not",
			text: `{"message":"{\"detail\":\"The 'x' model is not supported when using Codex with a ChatGPT account.\"}","codexErrorInfo":"other"}`,
			want: plugins.Error{Code: plugins.CodeNotFound, UpstreamStatus: 400, Message: "The 'x' model is not supported when using Codex with a ChatGPT account."},
		},
		{
			name: "an unknown model",
			text: `{"message":"The model 'nope' does not exist","codexErrorInfo":"modelNotFound"}`,
			want: plugins.Error{Code: plugins.CodeNotFound, UpstreamStatus: 404, Message: "The model 'nope' does not exist"},
		},
		{
			name:     "a limit with the head of the answer",
			text:     `{"message":"exceeded retry limit, last status: 429 Too Many Requests, request id: req_1","codexErrorInfo":{"responseTooManyFailedAttempts":{"httpStatusCode":429}}}`,
			answered: answered(http.StatusTooManyRequests, 7*time.Second),
			want: plugins.Error{
				Code: plugins.CodeRateLimited, UpstreamStatus: 429, RetryAfter: 7 * time.Second, Retryable: true,
				Message: "exceeded retry limit, last status: 429 Too Many Requests, request id: req_1",
			},
		},
		{
			name: "a limit that says how long",
			text: `{"message":"rate limit exceeded: Rate limit reached. Please try again in 1.5s.","codexErrorInfo":"rateLimitExceeded"}`,
			want: plugins.Error{
				Code: plugins.CodeRateLimited, UpstreamStatus: 429, RetryAfter: 1500 * time.Millisecond, Retryable: true,
				Message: "rate limit exceeded: Rate limit reached. Please try again in 1.5s.",
			},
		},
		{
			name:     "a failure whose status is in the log only",
			text:     `{"message":"We're currently experiencing high demand, which may cause temporary errors.","codexErrorInfo":"internalServerError"}`,
			answered: answered(http.StatusServiceUnavailable, 0),
			want: plugins.Error{
				Code: plugins.CodeUpstreamFailure, UpstreamStatus: 503, Retryable: true,
				Message: "We're currently experiencing high demand, which may cause temporary errors.",
			},
		},
		{
			name: "the address of the server is left out",
			text: `{"message":"unexpected status 529 <unknown status code>: busy, url: http://user:pw@127.0.0.1/v1/responses, request id: r","codexErrorInfo":{"httpConnectionFailed":{"httpStatusCode":529}}}`,
			want: plugins.Error{
				Code: plugins.CodeOverloaded, UpstreamStatus: 529, Retryable: true,
				Message: "unexpected status 529 <unknown status code>: busy, request id: r",
			},
		},
		{
			name: "refused",
			text: `{"message":"Connection failed: error sending request","codexErrorInfo":{"httpConnectionFailed":{"httpStatusCode":null}}}`,
			want: plugins.Error{Code: plugins.CodeUpstreamUnreachable, Retryable: true, Message: "Connection failed: error sending request"},
		},
		{
			name: "quota",
			text: `{"message":"Quota exceeded.","codexErrorInfo":"usageLimitExceeded"}`,
			want: plugins.Error{Code: plugins.CodeQuotaExhausted, UpstreamStatus: 429, Message: "Quota exceeded."},
		},
		{
			name: "a retry notice",
			text: `{"message":"Reconnecting... 1/2","codexErrorInfo":{"responseStreamDisconnected":{"httpStatusCode":401}},"additionalDetails":"unexpected status 401 Unauthorized: no"}`,
			want: plugins.Error{
				Code: plugins.CodeUnauthenticated, UpstreamStatus: 401,
				Message: "unexpected status 401 Unauthorized: no; set OPENAI_API_KEY or run: codex login",
			},
		},
		{
			name: "something else",
			text: `{"message":"what?"}`,
			want: plugins.Error{Code: plugins.CodeCLIFailure, Message: "what?"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e turnError
			if err := json.Unmarshal([]byte(test.text), &e); err != nil {
				t.Fatal(err)
			}
			got := failure(e, test.answered)
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWaitIn(t *testing.T) {
	tests := map[string]time.Duration{
		"try again in 1.5s.": 1500 * time.Millisecond, "Please try again in 20ms": 20 * time.Millisecond,
		"try again in 3 minutes": 3 * time.Minute, "try again in 2 days": 48 * time.Hour, "try again later": 0,
		"try again in 99999999999999999999 days": 0,
	}
	for text, want := range tests {
		if got := waitIn(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzFailure(f *testing.F) {
	f.Add("exceeded retry limit, last status: 429 Too Many Requests", `{"responseTooManyFailedAttempts":{"httpStatusCode":429}}`, "")
	f.Add(`{"error":{"message":"x"},"status":400}`, `"other"`, "try again in 1.5s")
	f.Fuzz(func(t *testing.T, message, info, details string) {
		e := failure(turnError{Message: message, Info: json.RawMessage(info), Details: details}, nil)
		if e.Code == 0 || e.RetryAfter < 0 {
			t.Errorf("%+v", e)
		}
	})
}

func FuzzEvents(f *testing.F) {
	f.Add(`{"turnId":"t","itemId":"i","delta":"x","item":{"type":"commandExecution","id":"i","command":"ls","exitCode":1}}`)
	f.Add(`{"turnId":"t","item":{"type":"fileChange","id":"i","changes":[{"path":"a"}]}}`)
	f.Fuzz(func(t *testing.T, params string) {
		var p itemParams
		if json.Unmarshal([]byte(params), &p) != nil {
			return
		}
		if call, ok := p.Item.call(); ok {
			if !json.Valid([]byte(call.Arguments)) {
				t.Errorf("arguments %q", call.Arguments)
			}
			p.Item.outcome(call.Name)
		}
	})
}

func TestTOML(t *testing.T) {
	got := tomlFile([]setting{
		{"a", "x\"\\\n\x7f"}, {"b", true}, {"c", 3}, {"d", []string{"e", "f"}}, {"g.h", []setting{{"i", "j"}, {"k", false}}},
	})
	want := "a = \"x\\\"\\\\\\u000A\\u007F\"\nb = true\nc = 3\nd = [\"e\", \"f\"]\ng.h = { i = \"j\", k = false }\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

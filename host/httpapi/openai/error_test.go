package openai

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

func TestEveryCode(t *testing.T) {
	want := map[engine.Code]int{
		engine.CodeInternal: 500, engine.CodeInvalidRequest: 400, engine.CodeUnauthenticated: 401, engine.CodePermissionDenied: 403,
		engine.CodeModelNotFound: 404, engine.CodeNotFound: 404, engine.CodeTooLarge: 413, engine.CodeRateLimited: 429,
		engine.CodeQuotaExhausted: 429, engine.CodeQueueFull: 429, engine.CodeQueueTimeout: 503, engine.CodeOverloaded: 503,
		engine.CodeTimeout: 504, engine.CodeContentPolicy: 400, engine.CodeUnavailable: 503, engine.CodeCLIFailure: 502,
		engine.CodeUpstreamUnreachable: 502, engine.CodeUpstreamFailure: 502, engine.CodeInvalidOutput: 502, engine.CodeUnsupported: 400, engine.CodeCanceled: 499,
		engine.CodeConflict: 409, engine.CodeStorage: 507,
	}
	for code := engine.CodeInternal; code <= engine.CodeCanceled; code++ {
		for _, retryable := range []bool{false, true} {
			w := httptest.NewRecorder()
			err := &engine.Error{Code: code, Message: "message", Retryable: retryable}
			new(Dialect).WriteError(w, httptest.NewRequest(http.MethodGet, "/v1/x", nil), err)
			dialecttest.Valid(t, "OpenAIError", w.Body.Bytes())
			if w.Code != want[code] {
				t.Errorf("code %d: status %d, want %d", code, w.Code, want[code])
			}
			if (w.Code == http.StatusTooManyRequests) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("code %d: Retry-After is %q with %d", code, w.Header().Get("Retry-After"), w.Code)
			}
			temporary := code == engine.CodeQueueTimeout || code == engine.CodeOverloaded || code == engine.CodeRateLimited || code == engine.CodeQueueFull
			again := w.Code == http.StatusTooManyRequests || w.Code >= 500
			final := w.Header().Get("X-Should-Retry") == "false"
			if again && !retryable && !temporary && !final {
				t.Errorf("code %d: clients will try again what cannot work", code)
			}
			if retryable && final && code != engine.CodeQuotaExhausted {
				t.Errorf("code %d: clients will not try again what may work", code)
			}
		}
	}
	if _, all := want[engine.CodeCanceled+1]; all || len(want) != int(engine.CodeCanceled)+1 {
		t.Errorf("the table has %d codes", len(want))
	}
}

func TestOtherErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err        error
		status     int
		body       string
		retryAfter string
	}{
		"a bug is not told": {
			errors.New("secret"), 500,
			`{"error":{"message":"internal error","type":"server_error","param":null,"code":"internal_error"}}`, "",
		},
		"missing key": {
			httpapi.Errorf(401, "no key"), 401,
			`{"error":{"message":"no key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, "",
		},
		"upstream's own status": {
			&engine.Error{Code: engine.CodeUpstreamFailure, Message: "m", UpstreamStatus: 500, Retryable: true}, 500,
			`{"error":{"message":"m","type":"server_error","param":null,"code":"upstream_failure"}}`, "",
		},
		"whole seconds": {
			&engine.Error{Code: engine.CodeOverloaded, Message: "m", RetryAfter: 100 * time.Millisecond}, 503,
			`{"error":{"message":"m","type":"server_error","param":null,"code":"overloaded"}}`, "1",
		},
		"client's word": {
			&engine.Error{Code: engine.CodeInvalidRequest, Message: "m", Param: engine.FieldMaxOutputTokens}, 400,
			`{"error":{"message":"m","type":"invalid_request_error","param":"max_completion_tokens","code":null}}`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			new(Dialect).WriteError(w, httptest.NewRequest(http.MethodGet, "/v1/x", nil), tt.err)
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Retry-After") != tt.retryAfter {
				t.Errorf("got %d %q %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		})
	}
}

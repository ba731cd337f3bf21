package anthropic

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

func TestEveryCode(t *testing.T) {
	want := map[engine.Code]struct {
		status int
		kind   string
	}{
		engine.CodeInternal: {500, typeAPI}, engine.CodeInvalidRequest: {400, typeInvalid}, engine.CodeUnauthenticated: {401, typeAuthentication},
		engine.CodePermissionDenied: {403, typePermission}, engine.CodeModelNotFound: {404, typeNotFound}, engine.CodeNotFound: {404, typeNotFound},
		engine.CodeTooLarge: {413, typeTooLarge}, engine.CodeRateLimited: {429, typeRateLimit}, engine.CodeQuotaExhausted: {429, typeRateLimit},
		engine.CodeQueueFull: {429, typeRateLimit}, engine.CodeQueueTimeout: {503, typeOverloaded}, engine.CodeOverloaded: {529, typeOverloaded},
		engine.CodeTimeout: {504, typeTimeout}, engine.CodeContentPolicy: {400, typeInvalid}, engine.CodeUnavailable: {503, typeOverloaded},
		engine.CodeCLIFailure: {502, typeAPI}, engine.CodeUpstreamUnreachable: {502, typeAPI}, engine.CodeUpstreamFailure: {502, typeAPI}, engine.CodeInvalidOutput: {502, typeAPI},
		engine.CodeUnsupported: {400, typeInvalid}, engine.CodeCanceled: {499, typeInvalid},
		engine.CodeConflict: {409, typeInvalid}, engine.CodeStorage: {507, typeAPI},
	}
	for code := engine.CodeInternal; code <= engine.CodeCanceled; code++ {
		for _, retryable := range []bool{false, true} {
			w := httptest.NewRecorder()
			err := &engine.Error{Code: code, Message: "message", Retryable: retryable}
			new(Dialect).WriteError(w, httptest.NewRequest(http.MethodGet, "/anthropic/x", nil), err)
			dialecttest.Valid(t, "AnthropicError", w.Body.Bytes())
			if w.Code != want[code].status || !strings.Contains(w.Body.String(), `"type":"`+want[code].kind+`"`) {
				t.Errorf("code %d: got %d %s, want %+v", code, w.Code, w.Body, want[code])
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
	if len(want) != int(engine.CodeCanceled)+1 {
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
		"a bug is not told": {errors.New("secret"), 500, `{"type":"error","error":{"type":"api_error","message":"internal error"}}`, ""},
		"missing key":       {httpapi.Errorf(401, "no key"), 401, `{"type":"error","error":{"type":"authentication_error","message":"no key"}}`, ""},
		"too large":         {httpapi.Errorf(413, "m"), 413, `{"type":"error","error":{"type":"request_too_large","message":"m"}}`, ""},
		"upstream's own status": {
			&engine.Error{Code: engine.CodeUpstreamFailure, Message: "m", UpstreamStatus: 503, Retryable: true}, 503,
			`{"type":"error","error":{"type":"overloaded_error","message":"m"}}`, "",
		},
		"whole seconds": {
			&engine.Error{Code: engine.CodeRateLimited, Message: "m", RetryAfter: 2100 * time.Millisecond}, 429,
			`{"type":"error","error":{"type":"rate_limit_error","message":"m"}}`, "3",
		},
		"a thread": { // the client's tool runner reads the details
			&wire.Error{Path: "thread", Problem: "is not supported"}, 400,
			`{"type":"error","error":{"type":"invalid_request_error","message":"thread: is not supported","details":{"error_code":"thread_unsupported_request","unsupported":["thread"]}}}`, "",
		},
		"client's word": {
			&engine.Error{Code: engine.CodeInvalidRequest, Message: "m", Param: engine.FieldStop}, 400,
			`{"type":"error","error":{"type":"invalid_request_error","message":"stop_sequences: m"}}`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			new(Dialect).WriteError(w, httptest.NewRequest(http.MethodGet, "/anthropic/x", nil), tt.err)
			dialecttest.Valid(t, "AnthropicError", w.Body.Bytes())
			if w.Code != tt.status || w.Body.String() != tt.body || w.Header().Get("Retry-After") != tt.retryAfter {
				t.Errorf("got %d %q %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		})
	}
}

package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// Problem is an error of the REST dialect and of paths without a dialect: RFC 9457
// with members of our own.
type Problem struct {
	Type         string         `json:"type"`
	Title        string         `json:"title"`
	Status       int            `json:"status"`
	Detail       string         `json:"detail"`
	Code         string         `json:"code"`
	RequestID    string         `json:"request_id"`
	Backend      string         `json:"backend,omitempty"`
	RetryAfterMS int64          `json:"retry_after_ms,omitempty"`
	ExitCode     *int           `json:"exit_code,omitempty"`
	StderrTail   string         `json:"stderr_tail,omitempty"`
	Errors       []ProblemField `json:"errors,omitempty"`
}

// ProblemField is what is wrong with one field of the body.
type ProblemField struct {
	// Pointer is a JSON Pointer.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

// NewProblem describes err; what is not ours to tell becomes "internal error".
func NewProblem(r *http.Request, err error) Problem {
	p := Problem{Type: "about:blank", RequestID: RequestID(r.Context())}
	if e, ok := errors.AsType[*Error](err); ok {
		p.Status, p.Detail, p.Code = e.Status, e.Message, httpCode(e.Status)
		if e.Param != "" {
			p.Errors = []ProblemField{{Pointer: "/" + e.Param, Message: e.Message}}
		}
	} else {
		e := engine.AsError(err)
		p.Status, p.Code = problemStatus(e)
		p.Detail, p.Backend, p.ExitCode, p.StderrTail = e.Message, e.Backend, e.ExitCode, e.StderrTail
		p.RetryAfterMS = e.RetryAfter.Milliseconds()
		if e.Param != "" {
			p.Errors = []ProblemField{{Pointer: "/" + e.Param, Message: e.Message}}
		}
	}
	p.Title = http.StatusText(p.Status)
	if p.Title == "" {
		p.Title = "Client Closed Request"
	}
	return p
}

// WriteProblem writes err as application/problem+json.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	p := NewProblem(r, err)
	if p.RetryAfterMS > 0 {
		SetRetryAfter(w.Header(), time.Duration(p.RetryAfterMS)*time.Millisecond)
	} else if p.Status == http.StatusTooManyRequests {
		SetRetryAfter(w.Header(), DefaultRetryAfter)
	}
	WriteJSON(w, p.Status, "application/problem+json", p)
}

// DefaultRetryAfter is told with a 429 when nobody knows better: clients wait for
// what is told, and without it some of them do not wait at all.
const DefaultRetryAfter = time.Second

// SetRetryAfter sets the two headers that clients look at, in whole seconds
// (rounded up, at least one) and in milliseconds.
func SetRetryAfter(h http.Header, d time.Duration) {
	seconds := int64(max(1, math.Ceil(d.Seconds())))
	h.Set("Retry-After", strconv.FormatInt(seconds, 10))
	h.Set("Retry-After-Ms", strconv.FormatInt(max(1, d.Milliseconds()), 10))
}

// WriteJSON writes v with a status.
func WriteJSON(w http.ResponseWriter, status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // an error means that the client is gone
}

// statusClientClosed is nginx's number for a client that went away; nobody reads it.
const statusClientClosed = 499

// problemStatus is the status and the code's name of each engine code.
func problemStatus(e *engine.Error) (status int, code string) {
	switch e.Code {
	case engine.CodeInvalidRequest:
		return http.StatusBadRequest, "invalid_request"
	case engine.CodeUnauthenticated:
		return http.StatusUnauthorized, "backend_unauthenticated"
	case engine.CodePermissionDenied:
		return http.StatusForbidden, "permission_denied"
	case engine.CodeModelNotFound:
		return http.StatusNotFound, "model_not_found"
	case engine.CodeNotFound:
		return http.StatusNotFound, "not_found"
	case engine.CodeConflict:
		return http.StatusConflict, "conflict"
	case engine.CodeTooLarge:
		return http.StatusRequestEntityTooLarge, "too_large"
	case engine.CodeRateLimited:
		return http.StatusTooManyRequests, "rate_limited"
	case engine.CodeQuotaExhausted:
		return http.StatusTooManyRequests, "quota_exhausted"
	case engine.CodeQueueFull:
		return http.StatusTooManyRequests, "queue_full"
	case engine.CodeQueueTimeout:
		return http.StatusServiceUnavailable, "queue_timeout"
	case engine.CodeOverloaded:
		return http.StatusServiceUnavailable, "overloaded"
	case engine.CodeTimeout:
		return http.StatusGatewayTimeout, "timeout"
	case engine.CodeContentPolicy:
		return http.StatusBadRequest, "content_policy"
	case engine.CodeUnavailable:
		return http.StatusServiceUnavailable, "backend_unavailable"
	case engine.CodeCLIFailure:
		return http.StatusBadGateway, "backend_failure"
	case engine.CodeUpstreamUnreachable:
		return http.StatusBadGateway, "upstream_unreachable"
	case engine.CodeUpstreamFailure:
		return UpstreamStatus(e), "upstream_failure"
	case engine.CodeInvalidOutput:
		return http.StatusBadGateway, "invalid_output"
	case engine.CodeStorage:
		return http.StatusInsufficientStorage, "storage_failed"
	case engine.CodeUnsupported:
		return http.StatusBadRequest, "unsupported"
	case engine.CodeCanceled:
		return statusClientClosed, "cancelled"
	case engine.CodeInternal:
	}
	return http.StatusInternalServerError, "internal"
}

// UpstreamStatus is the provider's own 5xx status when it is one that HTTP knows,
// else 502.
func UpstreamStatus(e *engine.Error) int {
	if s := e.UpstreamStatus; s >= http.StatusInternalServerError && http.StatusText(s) != "" {
		return s
	}
	return http.StatusBadGateway
}

// CodeName is the code's name in problems.
func CodeName(c engine.Code) string {
	_, name := problemStatus(&engine.Error{Code: c})
	return name
}

func httpCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request"
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusNotImplemented:
		return "not_implemented"
	}
	return "error"
}

package anthropic

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// envelope is an error as Anthropic's clients expect it.
type envelope struct {
	status  int
	kind    string // "type"
	message string
	// details is an object for programs; empty: there is none.
	details string
	// retryAfter is how long to wait; 0: unknown.
	retryAfter time.Duration
	// final says that trying again is of no use although the status suggests it.
	final bool
}

// Types of errors.
const (
	typeInvalid        = "invalid_request_error"
	typeAuthentication = "authentication_error"
	typePermission     = "permission_error"
	typeNotFound       = "not_found_error"
	typeTooLarge       = "request_too_large"
	typeRateLimit      = "rate_limit_error"
	typeAPI            = "api_error"
	typeTimeout        = "timeout_error"
	typeOverloaded     = "overloaded_error"
)

const (
	// statusOverloaded is Anthropic's own.
	statusOverloaded = 529
	// statusClientClosed is nginx's number for a client that went away; nobody reads it.
	statusClientClosed = 499
)

// typeOf is the type that goes with a status.
func typeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return typeAuthentication
	case http.StatusForbidden:
		return typePermission
	case http.StatusNotFound:
		return typeNotFound
	case http.StatusRequestEntityTooLarge:
		return typeTooLarge
	case http.StatusTooManyRequests:
		return typeRateLimit
	case http.StatusGatewayTimeout:
		return typeTimeout
	case http.StatusServiceUnavailable, statusOverloaded:
		return typeOverloaded
	}
	if status >= http.StatusInternalServerError {
		return typeAPI
	}
	return typeInvalid
}

// envelopeOf maps an engine's error.
func envelopeOf(err *engine.Error) envelope {
	e := envelope{message: err.Message, retryAfter: err.RetryAfter}
	lasting := !err.Retryable
	switch err.Code {
	case engine.CodeInternal:
		e.status, e.final = http.StatusInternalServerError, lasting
	case engine.CodeInvalidRequest, engine.CodeContentPolicy, engine.CodeUnsupported:
		e.status = http.StatusBadRequest
	case engine.CodeUnauthenticated:
		e.status = http.StatusUnauthorized
	case engine.CodePermissionDenied:
		e.status = http.StatusForbidden
	case engine.CodeModelNotFound, engine.CodeNotFound:
		e.status = http.StatusNotFound
	case engine.CodeConflict:
		e.status = http.StatusConflict
	case engine.CodeTooLarge:
		e.status = http.StatusRequestEntityTooLarge
	case engine.CodeRateLimited, engine.CodeQueueFull:
		e.status = http.StatusTooManyRequests
	case engine.CodeQuotaExhausted:
		e.status, e.final = http.StatusTooManyRequests, true
	case engine.CodeQueueTimeout:
		e.status = http.StatusServiceUnavailable
	case engine.CodeOverloaded:
		e.status = statusOverloaded
	case engine.CodeTimeout:
		e.status, e.final = http.StatusGatewayTimeout, lasting
	case engine.CodeUnavailable:
		e.status, e.final = http.StatusServiceUnavailable, lasting
	case engine.CodeCLIFailure, engine.CodeUpstreamUnreachable, engine.CodeInvalidOutput:
		e.status, e.final = http.StatusBadGateway, lasting
	case engine.CodeStorage:
		e.status, e.final = http.StatusInsufficientStorage, lasting
	case engine.CodeUpstreamFailure:
		e.status, e.final = httpapi.UpstreamStatus(err), lasting
	case engine.CodeCanceled:
		e.status = statusClientClosed
	}
	e.kind = typeOf(e.status)
	if f := field(err.Param); f != "" && e.status == http.StatusBadRequest && !strings.Contains(e.message, f) {
		e.message = f + ": " + e.message // there is no key for it
	}
	return e
}

// noThreads has the tool runner of Anthropic's client go on without a thread.
const noThreads = `{"error_code":"thread_unsupported_request","unsupported":["thread"]}`

// dots writes a path as Anthropic does: messages.0.content.
var dots = strings.NewReplacer("[", ".", "]", "")

// envelopeOfAny maps whatever a handler may return.
func envelopeOfAny(err error) envelope {
	if f, ok := errors.AsType[*wire.Error](err); ok {
		e := envelope{status: http.StatusBadRequest, kind: typeInvalid, message: f.Error()}
		if f.Path != "" {
			e.message = dots.Replace(f.Path) + ": " + f.Problem
		}
		if f.Path == fieldThread {
			e.details = noThreads
		}
		return e
	}
	if e, ok := errors.AsType[*httpapi.Error](err); ok {
		return envelope{
			status: e.Status, kind: typeOf(e.Status), message: e.Message,
			final: e.Status == http.StatusNotImplemented,
		}
	}
	return envelopeOf(engine.AsError(err))
}

// append appends the body; an event of a stream has no request id.
func (e envelope) append(b []byte, requestID string) []byte {
	b = wire.AppendString(append(b, `{"type":"error","error":{"type":`...), e.kind)
	b = wire.AppendString(append(b, `,"message":`...), e.message)
	if e.details != "" {
		b = append(append(b, `,"details":`...), e.details...)
	}
	b = append(b, '}')
	if requestID != "" {
		b = wire.AppendString(append(b, `,"request_id":`...), requestID)
	}
	return append(b, '}')
}

// WriteError writes err as Anthropic's envelope.
func (*Dialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e := envelopeOfAny(err)
	switch h := w.Header(); {
	case e.retryAfter > 0:
		httpapi.SetRetryAfter(h, e.retryAfter)
	case e.status == http.StatusTooManyRequests:
		httpapi.SetRetryAfter(h, httpapi.DefaultRetryAfter)
	}
	if e.final {
		w.Header().Set("X-Should-Retry", "false")
	}
	wire.Write(w, e.status, e.append(nil, httpapi.RequestID(r.Context())))
}

package openai

import (
	"errors"
	"net/http"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// envelope is an error as OpenAI's clients expect it.
type envelope struct {
	status  int
	kind    string // "type"
	code    string // empty: null
	param   string // empty: null
	message string
	// retryAfter is how long to wait; 0: unknown.
	retryAfter time.Duration
	// final says that trying again is of no use although the status suggests it.
	final bool
}

// statusClientClosed is nginx's number for a client that went away; nobody reads it.
const statusClientClosed = 499

// Types of errors.
const (
	typeInvalid    = "invalid_request_error"
	typePermission = "permission_error"
	typeRateLimit  = "rate_limit_error"
	typeQuota      = "insufficient_quota"
	typeServer     = "server_error"
)

// envelopeOf maps an engine's error.
func envelopeOf(err *engine.Error) envelope {
	e := envelope{message: err.Message, param: param(err.Param), retryAfter: err.RetryAfter}
	lasting := !err.Retryable
	switch err.Code {
	case engine.CodeInternal:
		e.status, e.kind, e.code, e.final = http.StatusInternalServerError, typeServer, "internal_error", lasting
	case engine.CodeInvalidRequest:
		e.status, e.kind = http.StatusBadRequest, typeInvalid
	case engine.CodeUnauthenticated:
		e.status, e.kind, e.code = http.StatusUnauthorized, typeInvalid, "invalid_api_key"
	case engine.CodePermissionDenied:
		e.status, e.kind, e.code = http.StatusForbidden, typePermission, "permission_denied"
	case engine.CodeModelNotFound:
		e.status, e.kind, e.code = http.StatusNotFound, typeInvalid, "model_not_found"
		if e.param == "" {
			e.param = "model"
		}
	case engine.CodeNotFound:
		e.status, e.kind, e.code = http.StatusNotFound, typeInvalid, "not_found"
	case engine.CodeTooLarge:
		e.status, e.kind, e.code = http.StatusRequestEntityTooLarge, typeInvalid, "context_length_exceeded"
	case engine.CodeRateLimited:
		e.status, e.kind, e.code = http.StatusTooManyRequests, typeRateLimit, "rate_limit_exceeded"
	case engine.CodeQuotaExhausted:
		e.status, e.kind, e.code, e.final = http.StatusTooManyRequests, typeQuota, "insufficient_quota", true
	case engine.CodeQueueFull:
		e.status, e.kind, e.code = http.StatusTooManyRequests, typeRateLimit, "rate_limit_exceeded"
	case engine.CodeQueueTimeout:
		e.status, e.kind, e.code = http.StatusServiceUnavailable, typeServer, "queue_timeout"
	case engine.CodeOverloaded:
		e.status, e.kind, e.code = http.StatusServiceUnavailable, typeServer, "overloaded"
	case engine.CodeTimeout:
		e.status, e.kind, e.code, e.final = http.StatusGatewayTimeout, typeServer, "timeout", lasting
	case engine.CodeContentPolicy:
		e.status, e.kind, e.code = http.StatusBadRequest, typeInvalid, "content_policy_violation"
	case engine.CodeUnavailable:
		e.status, e.kind, e.code, e.final = http.StatusServiceUnavailable, typeServer, "backend_unavailable", lasting
	case engine.CodeCLIFailure:
		e.status, e.kind, e.code, e.final = http.StatusBadGateway, typeServer, "backend_failure", lasting
	case engine.CodeUpstreamUnreachable:
		e.status, e.kind, e.code, e.final = http.StatusBadGateway, typeServer, "upstream_unreachable", lasting
	case engine.CodeUpstreamFailure:
		e.status, e.kind, e.code, e.final = httpapi.UpstreamStatus(err), typeServer, "upstream_failure", lasting
	case engine.CodeInvalidOutput:
		e.status, e.kind, e.code, e.final = http.StatusBadGateway, typeServer, "invalid_output", lasting
	case engine.CodeStorage:
		e.status, e.kind, e.code, e.final = http.StatusInsufficientStorage, typeServer, "storage_failed", lasting
	case engine.CodeConflict:
		e.status, e.kind, e.code = http.StatusConflict, typeInvalid, "conflict"
	case engine.CodeUnsupported:
		e.status, e.kind, e.code = http.StatusBadRequest, typeInvalid, "unsupported_parameter"
	case engine.CodeCanceled:
		e.status, e.kind, e.code = statusClientClosed, typeInvalid, "canceled"
	}
	return e
}

// param translates the engine's names of fields.
func param(name string) string {
	if name == engine.FieldMaxOutputTokens {
		return fieldMaxCompletionTokens
	}
	return name
}

// envelopeOfHTTP maps an error of HTTP itself.
func envelopeOfHTTP(err *httpapi.Error) envelope {
	e := envelope{status: err.Status, kind: typeInvalid, param: err.Param, message: err.Message}
	switch {
	case err.Status == http.StatusUnauthorized:
		e.code = "invalid_api_key"
	case err.Status == http.StatusForbidden:
		e.kind, e.code = typePermission, "permission_denied"
	case err.Status == http.StatusTooManyRequests:
		e.kind, e.code = typeRateLimit, "rate_limit_exceeded"
	case err.Status == http.StatusNotImplemented:
		e.kind, e.code, e.final = typeServer, "not_implemented", true
	case err.Status >= http.StatusInternalServerError:
		e.kind = typeServer
	}
	return e
}

// envelopeOfAny maps whatever a handler may return.
func envelopeOfAny(err error) envelope {
	if field, ok := errors.AsType[*wire.Error](err); ok {
		return envelope{status: http.StatusBadRequest, kind: typeInvalid, param: field.Path, message: field.Error()}
	}
	if e, ok := errors.AsType[*httpapi.Error](err); ok {
		return envelopeOfHTTP(e)
	}
	return envelopeOf(engine.AsError(err))
}

// append appends the body.
func (e envelope) append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"error":{"message":`...), e.message)
	b = wire.AppendString(append(b, `,"type":`...), e.kind)
	b = wire.AppendNullable(append(b, `,"param":`...), e.param)
	b = wire.AppendNullable(append(b, `,"code":`...), e.code)
	return append(b, "}}"...)
}

// WriteError writes err as OpenAI's envelope.
func (*Dialect) WriteError(w http.ResponseWriter, _ *http.Request, err error) {
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
	wire.Write(w, e.status, e.append(nil))
}

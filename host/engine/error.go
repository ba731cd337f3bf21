package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clinvk/clinvk/host/engine/clip"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Code classifies an error; each dialect maps it to its own words in one place.
type Code int

// Codes. The comment is the HTTP status that all dialects answer with.
const (
	// CodeInternal is a bug of ours or of a plugin: 500.
	CodeInternal Code = iota
	// CodeInvalidRequest cannot work however often it is tried: 400.
	CodeInvalidRequest
	// CodeUnauthenticated says that the backend's CLI is not logged in: 401.
	CodeUnauthenticated
	// CodePermissionDenied says that the account may not: 403.
	CodePermissionDenied
	// CodeModelNotFound names no model that is here: 404.
	CodeModelNotFound
	// CodeNotFound says that a session or the like does not exist: 404.
	CodeNotFound
	// CodeConflict says that the state of what was asked for forbids it: 409.
	CodeConflict
	// CodeTooLarge says that the prompt is too long: 413.
	CodeTooLarge
	// CodeRateLimited is the provider's limit: 429.
	CodeRateLimited
	// CodeQuotaExhausted says that plan or credit is used up: 429.
	CodeQuotaExhausted
	// CodeQueueFull is our own limit: 429.
	CodeQueueFull
	// CodeQueueTimeout says that a place in the queue took too long: 503.
	CodeQueueTimeout
	// CodeOverloaded says that the provider has too much to do: 529 where the
	// dialect knows it, else 503.
	CodeOverloaded
	// CodeTimeout says that the turn took too long: 504.
	CodeTimeout
	// CodeContentPolicy says that the provider refused: 400.
	CodeContentPolicy
	// CodeUnavailable says that the backend cannot serve now (not installed,
	// crashed, quarantined): 503.
	CodeUnavailable
	// CodeCLIFailure says that the CLI or the plugin broke in mid-turn: 502.
	CodeCLIFailure
	// CodeUpstreamUnreachable says that the provider cannot be reached: 502.
	CodeUpstreamUnreachable
	// CodeUpstreamFailure is the provider's own failure: 502, or its 5xx status.
	CodeUpstreamFailure
	// CodeUnsupported is something that this backend cannot do: 400, because 5xx
	// is tried again by clients.
	CodeUnsupported
	// CodeInvalidOutput says that the answer does not match the schema that was asked
	// for, also after it was asked for again: 502.
	CodeInvalidOutput
	// CodeStorage says that what was to be kept could not be written: 507.
	CodeStorage
	// CodeCanceled says that the client went away or cancelled: 499.
	CodeCanceled
)

// Origin says who concluded that there is an error.
type Origin int

// Origins.
const (
	// OriginHost: we did.
	OriginHost Origin = iota
	// OriginBackend: the backend said so.
	OriginBackend
)

// Error is the one error type of turns.
type Error struct {
	Code Code
	// Message is for people: what is wrong and what to do.
	Message string
	// Param names the field that is wrong, in the engine's or the client's words.
	Param string
	// RetryAfter is how long to wait; 0: unknown.
	RetryAfter time.Duration
	// Retryable says that the same request may work later.
	Retryable bool
	Origin    Origin
	// Backend it happened in; may be empty.
	Backend string
	// UpstreamStatus is the provider's HTTP status; 0: unknown.
	UpstreamStatus int
	// ExitCode of the CLI or plugin; nil: it did not exit.
	ExitCode *int
	// StderrTail is the end of its stderr, redacted.
	StderrTail string
	// Usage up to the failure; nil: unknown.
	Usage *Usage
	// Near lists names that may have been meant, with CodeModelNotFound.
	Near []string
	// Err is the cause; it is logged, not told.
	Err error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error that the host concluded.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

// AsError finds the *Error in err's chain; contexts' ends become CodeCanceled or
// CodeTimeout and anything else CodeInternal. nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCanceled, Message: "the request was cancelled", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeTimeout, Message: "the turn took too long", Retryable: true, Err: err}
	}
	return &Error{Code: CodeInternal, Message: "internal error", Err: err}
}

// contractCodes maps the contract's codes.
var contractCodes = map[backendv1.ErrorCode]Code{
	backendv1.ErrorCode_ERROR_CODE_UNSPECIFIED:          CodeInternal,
	backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST:      CodeInvalidRequest,
	backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED:      CodeUnauthenticated,
	backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED:    CodePermissionDenied,
	backendv1.ErrorCode_ERROR_CODE_NOT_FOUND:            CodeModelNotFound,
	backendv1.ErrorCode_ERROR_CODE_TOO_LARGE:            CodeTooLarge,
	backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED:         CodeRateLimited,
	backendv1.ErrorCode_ERROR_CODE_QUOTA_EXHAUSTED:      CodeQuotaExhausted,
	backendv1.ErrorCode_ERROR_CODE_OVERLOADED:           CodeOverloaded,
	backendv1.ErrorCode_ERROR_CODE_TIMEOUT:              CodeTimeout,
	backendv1.ErrorCode_ERROR_CODE_CONTENT_POLICY:       CodeContentPolicy,
	backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE:          CodeCLIFailure,
	backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE: CodeUpstreamUnreachable,
	backendv1.ErrorCode_ERROR_CODE_UNSUPPORTED:          CodeUnsupported,
	backendv1.ErrorCode_ERROR_CODE_INTERNAL:             CodeInternal,
	backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE:     CodeUpstreamFailure,
}

// errorFromProto is a failure that the backend told.
func errorFromProto(backend string, f *backendv1.Failed) *Error {
	e := &Error{
		Code: contractCodes[f.GetCode()], Message: clip.Text(f.GetMessage()), Origin: OriginBackend, Backend: backend,
		RetryAfter: f.GetRetryAfter().AsDuration(), Retryable: f.GetRetryable(),
		UpstreamStatus: int(f.GetUpstreamStatus()), StderrTail: clip.End(f.GetStderrTail()),
	}
	if e.Message == "" {
		e.Message = "the backend failed without saying why"
	}
	if f.ExitCode != nil {
		code := int(f.GetExitCode())
		e.ExitCode = &code
	}
	if f.GetUsage() != nil {
		u := usageFromProto(f.GetUsage())
		e.Usage = &u
	}
	return e
}

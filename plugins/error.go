package plugins

import (
	"context"
	"errors"
	"fmt"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Code classifies a failed turn. The host maps each code to one HTTP status per
// dialect.
type Code int32

// Codes of failure, with the HTTP status that clients see.
const (
	CodeInvalidRequest      = Code(backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST)      // 400
	CodeUnauthenticated     = Code(backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED)      // 401
	CodePermissionDenied    = Code(backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED)    // 403
	CodeNotFound            = Code(backendv1.ErrorCode_ERROR_CODE_NOT_FOUND)            // 404
	CodeTooLarge            = Code(backendv1.ErrorCode_ERROR_CODE_TOO_LARGE)            // 413
	CodeRateLimited         = Code(backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED)         // 429
	CodeQuotaExhausted      = Code(backendv1.ErrorCode_ERROR_CODE_QUOTA_EXHAUSTED)      // 429
	CodeOverloaded          = Code(backendv1.ErrorCode_ERROR_CODE_OVERLOADED)           // 503 or 529
	CodeTimeout             = Code(backendv1.ErrorCode_ERROR_CODE_TIMEOUT)              // 504
	CodeContentPolicy       = Code(backendv1.ErrorCode_ERROR_CODE_CONTENT_POLICY)       // 400
	CodeCLIFailure          = Code(backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE)          // 502
	CodeUpstreamUnreachable = Code(backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE) // 502
	CodeUnsupported         = Code(backendv1.ErrorCode_ERROR_CODE_UNSUPPORTED)          // 501
	CodeInternal            = Code(backendv1.ErrorCode_ERROR_CODE_INTERNAL)             // 500
	CodeUpstreamFailure     = Code(backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE)     // 502, or the provider's own 5xx
)

// Error is a failed turn. The zero values of the optional fields mean unknown.
type Error struct {
	Code Code
	// Message is for people and says what to do; no secrets.
	Message string
	// RetryAfter is set when the provider said how long to wait.
	RetryAfter time.Duration
	// Retryable says that the same request may work later.
	Retryable bool
	// ExitCode of the CLI, when it exited.
	ExitCode *int
	// StderrTail is the end of the CLI's stderr, redacted, at most 8 KiB.
	StderrTail string
	// UpstreamStatus is the HTTP status that the provider answered with.
	UpstreamStatus int
	// SessionToken of a session that can still be resumed.
	SessionToken []byte
	// Err is the cause; it is not sent.
	Err error
}

// Errorf returns an *Error; a %w operand becomes its cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// asError finds the *Error in the chain of err or makes one.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Code: CodeTimeout, Message: err.Error(), Err: err}
	}
	return &Error{Code: CodeInternal, Message: err.Error(), Err: err}
}

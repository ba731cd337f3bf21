package plugins

import (
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// GRPCStatus is how the error travels in answer to calls other than Execute: whether
// the request is at fault, and the text.
func (e *Error) GRPCStatus() *status.Status {
	switch e.Code {
	case CodeInvalidRequest, CodeTooLarge, CodeUnsupported:
		return status.New(codes.InvalidArgument, e.Message)
	case CodeNotFound:
		return status.New(codes.NotFound, e.Message)
	default:
		return status.New(codes.Unknown, e.Message)
	}
}

// statusOverloaded is what some providers answer when they have no room.
const statusOverloaded = 529

// CodeOfStatus is the code for a provider's answer that is an error, with its HTTP
// status and message, and whether the same request may work later.
func CodeOfStatus(status int, message string) (code Code, retryable bool) {
	switch status {
	case http.StatusUnauthorized:
		return CodeUnauthenticated, false
	case http.StatusPaymentRequired:
		return CodeQuotaExhausted, false
	case http.StatusForbidden:
		return CodePermissionDenied, false
	case http.StatusNotFound:
		return CodeNotFound, false
	case http.StatusRequestEntityTooLarge:
		return CodeTooLarge, false
	case http.StatusRequestTimeout:
		return CodeUpstreamFailure, true
	case http.StatusTooManyRequests:
		return CodeRateLimited, true
	case statusOverloaded:
		return CodeOverloaded, true
	}
	switch {
	case status < http.StatusInternalServerError:
		return CodeInvalidRequest, false
	case strings.Contains(strings.ToLower(message), "overloaded"):
		return CodeOverloaded, true
	}
	return CodeUpstreamFailure, true
}

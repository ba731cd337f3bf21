package plugins

import (
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

package httpapi

import (
	"errors"
	"fmt"
)

// Error is an error of HTTP itself: no such path, body too large, and so on.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Message says what is wrong and what to do.
	Message string
	// Param names the field that is wrong; may be empty.
	Param string
	// Err is the cause; it is logged, not told.
	Err error
}

func (e *Error) Error() string { return e.Message }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an *Error; a %w operand becomes its cause.
func Errorf(status int, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Status: status, Message: err.Error(), Err: errors.Unwrap(err)}
}

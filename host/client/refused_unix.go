//go:build unix

package client

import (
	"errors"
	"syscall"
)

// refused says that nobody listens: on a port, or at a socket that is not there.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT)
}

package client

import (
	"errors"
	"syscall"
)

// wsaeconnrefused is what Windows calls a refused connection.
const wsaeconnrefused = syscall.Errno(10061)

// refused says that nobody listens.
func refused(err error) bool {
	return errors.Is(err, wsaeconnrefused) || errors.Is(err, syscall.ERROR_FILE_NOT_FOUND)
}

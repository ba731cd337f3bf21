//go:build unix

package host

import "syscall"

// errRefused is that nobody listens on a socket that is there.
const errRefused = syscall.ECONNREFUSED

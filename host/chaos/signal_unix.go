//go:build unix

package chaos

import (
	"os"
	"syscall"
)

// stopSignal freezes a process; nil: there is none on this system.
var stopSignal os.Signal = syscall.SIGSTOP

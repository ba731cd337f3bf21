//go:build unix

package cli

import (
	"errors"
	"os/exec"
)

// exitCode of a command that failed; -1: it did not run.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}

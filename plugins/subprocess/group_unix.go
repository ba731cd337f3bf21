//go:build unix

package subprocess

import (
	"os/exec"
	"syscall"
)

// killGroup kills the process group of a started command.
func killGroup(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that nobody is left
	}
}

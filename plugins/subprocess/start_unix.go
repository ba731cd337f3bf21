//go:build unix && !linux

package subprocess

import (
	"os/exec"
	"syscall"
)

func setGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func startOnOwnThread(cmd *exec.Cmd) error { return cmd.Start() }

// sweep is the host's work here: reading another process's environment needs
// calls that this system does not offer without cgo.
func sweep(string) {}

//go:build unix && !linux

package runner

import (
	"os"
	"os/exec"
	"syscall"
)

// tree is the process and what it starts.
type tree struct{}

// start runs cmd in a session of its own. When this process dies the plugin ends
// because its stdin does.
func (tree) start(cmd *exec.Cmd, _ walls) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// await returns when the process has ended.
func (tree) await(cmd *exec.Cmd) { _ = cmd.Wait() }

// kill kills the process group. What left the group is the sweep's.
func (tree) kill(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // an error means that nobody is left
}

func (tree) close() {}

// executable is the path: there is no way to execute a descriptor here, so a file
// could be swapped between the check and the start by whoever may write to its
// directory, that is, by root or the user himself.
func executable(_ *os.File, path string) string { return path }

//go:build unix

package apikeys

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// private says why others could read or change a file of secrets.
func private(path string, info fs.FileInfo) error {
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return fmt.Errorf("%s can be read or changed by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), strconv.Quote(path))
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to the user %d; it must belong to the server's user or to root", path, s.Uid)
	}
	return nil
}

// together has what a command started end with it.
func together(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

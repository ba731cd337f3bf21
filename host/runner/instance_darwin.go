package runner

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// processStart is when a process began, in microseconds since the epoch. The
// error wraps fs.ErrNotExist when there is no such process.
func processStart(pid int) (uint64, error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil || int(p.Proc.P_pid) != pid {
		return 0, &os.PathError{Op: "looking up", Path: fmt.Sprintf("process %d", pid), Err: fs.ErrNotExist}
	}
	return uint64(p.Proc.P_starttime.Sec)*1e6 + uint64(p.Proc.P_starttime.Usec), nil
}

func bootID() string {
	id, _ := unix.Sysctl("kern.bootsessionuuid") // empty where it is unknown
	return id
}

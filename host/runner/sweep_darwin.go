package runner

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// sweepOnce looks once at every process of this user.
func sweepOnce(match func(instance string) bool) (killed, unsure []int) {
	processes, err := unix.SysctlKinfoProcSlice("kern.proc.uid", os.Getuid())
	if err != nil {
		return nil, nil
	}
	self := os.Getpid()
	for _, p := range processes {
		pid := int(p.Proc.P_pid)
		if pid == self || pid <= 1 {
			continue
		}
		args, err := unix.SysctlRaw("kern.procargs2", pid)
		if err != nil {
			continue
		}
		if instance, ok := instanceOf(variables(args)); ok && match(instance) && unix.Kill(pid, unix.SIGKILL) == nil {
			killed = append(killed, pid)
		}
	}
	return killed, nil
}

// settle has nothing to remember.
func settle([]int) {}

// variables cuts the environment out of kern.procargs2: the number of
// arguments, the path, padding, the arguments, the variables.
func variables(b []byte) []byte {
	if len(b) < 4 {
		return nil
	}
	n := int(binary.NativeEndian.Uint32(b))
	b = b[4:]
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = bytes.TrimLeft(b[i:], "\x00")
	}
	for range n {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return nil
		}
		b = b[i+1:]
	}
	return b
}

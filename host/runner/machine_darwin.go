package runner

import "golang.org/x/sys/unix"

// MachineMemory is the machine's memory in bytes; 0: the system does not tell.
func MachineMemory() int64 {
	size, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int64(size) //nolint:gosec // no machine has 8 EiB
}

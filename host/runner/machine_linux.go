package runner

import (
	"os"

	"golang.org/x/sys/unix"
)

// MachineMemory is what this process and all others share, in bytes: the machine's
// memory, or less where a container has less. 0: the system does not tell.
func MachineMemory() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	total := int64(info.Totalram) * int64(info.Unit) //nolint:gosec // no machine has 8 EiB
	self, err := os.ReadFile("/proc/self/cgroup")
	if limit := cgroupMemory(cgroupRoot, string(self)); err == nil && limit > 0 {
		total = min(total, limit)
	}
	return total
}

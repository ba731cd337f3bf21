package runner

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// processStart is when a process began, in clock ticks since boot. The error
// wraps fs.ErrNotExist when there is no such process.
func processStart(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the name in parentheses and may hold anything.
	i := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[i+1:])
	const startTime = 22 - 3 // counted from the third field
	if i < 0 || len(fields) <= startTime {
		return 0, fmt.Errorf("unexpected form of /proc/%d/stat", pid)
	}
	return strconv.ParseUint(string(fields[startTime]), 10, 64)
}

func bootID() string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // empty where it is hidden: the namespace remains
	namespace, _ := os.Readlink("/proc/self/ns/pid")
	return string(boot) + namespace
}

//go:build linux

package isolation_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// alive says that a process runs; one that waits for nothing but its parent does
// not.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// killExactly kills one process.
func killExactly(t testing.TB, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("no process")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

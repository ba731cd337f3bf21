package subprocess

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

func setGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// forks is served by one goroutine that keeps its OS thread for ever: the kernel
// sends the parent-death signal when the *thread* that forked ends, not the
// process (golang.org/issue/27505).
var forks = sync.OnceValue(func() chan<- func() {
	ch := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range ch {
			f()
		}
	}()
	return ch
})

func startOnOwnThread(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	forks() <- func() { result <- cmd.Start() }
	return <-result
}

// sweep kills every process that carries the cookie in its environment: a shell
// that a CLI started in a session of its own is in no group that we know.
func sweep(cookie string) {
	needle := []byte(cookie)
	const rounds = 10 // a process may fork while it is looked for
	for range rounds {
		if !sweepOnce(needle) {
			return
		}
	}
}

func sweepOnce(needle []byte) (found bool) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	self := os.Getpid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !hasVariable(env, needle) {
			continue
		}
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			found = true
		}
	}
	return found
}

// hasVariable says whether a NUL-separated environment has exactly this variable.
func hasVariable(env, needle []byte) bool {
	i := bytes.Index(env, needle)
	return i >= 0 && (i == 0 || env[i-1] == 0) && (i+len(needle) == len(env) || env[i+len(needle)] == 0)
}

package subprocess

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
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

// sweepWait bounds the wait for a killed process to be gone, in milliseconds: one
// that hangs in the kernel must not hold us.
const sweepWait = 500

// sweep kills every process that carries the cookie in its environment: a shell
// that a CLI started in a session of its own is in no group that we know. It
// returns when they are gone.
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
	var killed []unix.PollFd
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == self {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0) // first: the pid cannot be somebody else's then
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ")
		if err != nil || !hasVariable(env, needle) || unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
			_ = unix.Close(fd)
			continue
		}
		killed = append(killed, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}) //nolint:gosec // a descriptor
	}
	for i := range killed { // readable when the process has ended
		_, _ = unix.Poll(killed[i:i+1], sweepWait)
		_ = unix.Close(int(killed[i].Fd))
	}
	return len(killed) > 0
}

// hasVariable says whether a NUL-separated environment has exactly this variable.
func hasVariable(env, needle []byte) bool {
	i := bytes.Index(env, needle)
	return i >= 0 && (i == 0 || env[i-1] == 0) && (i+len(needle) == len(env) || env[i+len(needle)] == 0)
}

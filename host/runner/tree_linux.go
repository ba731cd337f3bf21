package runner

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// tree is the process and what it starts.
type tree struct{}

// forks is served by one goroutine that keeps its OS thread for the life of this
// process: the kernel sends the parent-death signal when the *thread* that forked
// ends, not the process (golang.org/issue/27505).
var forks = sync.OnceValue(func() chan<- func() {
	ch := make(chan func())
	go serveForks(ch)
	return ch
})

func serveForks(ch <-chan func()) {
	runtime.LockOSThread()
	for f := range ch {
		f()
	}
}

// start runs cmd in a session of its own; it is killed when this process dies.
func (tree) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	result := make(chan error, 1)
	forks() <- func() { result <- cmd.Start() }
	return <-result
}

// await returns when the process has ended but leaves it to be reaped, so that
// its pid, and with it the group, is nobody else's yet.
func (tree) await(cmd *exec.Cmd) {
	for {
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kill kills the process group. What left the group is the sweep's.
func (tree) kill(cmd *exec.Cmd) {
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // an error means that nobody is left
}

func (tree) close() {}

// executable names the open file itself. A script must be named by its path: its
// interpreter opens it again, after the descriptor is gone.
func executable(f *os.File, path string) string {
	var magic [2]byte
	if _, err := f.ReadAt(magic[:], 0); err != nil || string(magic[:]) == "#!" {
		return path
	}
	name := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	if _, err := os.Stat(name); err != nil {
		return path // no /proc here
	}
	return name
}

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
type tree struct{ leaf *leaf }

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

// start runs cmd in a session of its own, and where the host has cgroups in one of
// its own; it is killed when this process dies.
func (t *tree) start(cmd *exec.Cmd, w walls) error {
	again := *cmd // a command is started once
	t.leaf = ownCgroups().leaf(w.instance, w.memory, w.processes)
	err := startIn(cmd, t.leaf)
	if err != nil && t.leaf != nil { // perhaps because of the group
		t.close()
		*cmd = again
		err = startIn(cmd, nil)
	}
	if err == nil {
		restrain(cmd.Process.Pid)
	}
	return err
}

func startIn(cmd *exec.Cmd, l *leaf) error {
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	if l != nil {
		f, err := l.enter(cmd.SysProcAttr)
		if err != nil {
			return err
		}
		defer f.Close()
	}
	result := make(chan error, 1)
	forks() <- func() { result <- cmd.Start() }
	return <-result
}

// oomScore makes the kernel, when the machine has no memory left, end what plugins
// run before the host.
const oomScore = "300"

// restrain sets what all descendants inherit: no core dumps, which would hold the
// secrets that Configure is about to bring, and a place before the host when memory
// runs out. Both are worth having and nothing depends on them.
func restrain(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	_ = write("/proc/"+strconv.Itoa(pid), "oom_score_adj", oomScore)
}

// await returns when the process has ended but leaves it to be reaped, so that
// its pid, and with it the group, is nobody else's yet.
func (*tree) await(cmd *exec.Cmd) {
	for {
		if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// kill kills the process group, and the cgroup. Without one, what left the process
// group is the sweep's.
func (t *tree) kill(cmd *exec.Cmd) {
	t.leaf.kill()
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // an error means that nobody is left
}

func (t *tree) close() {
	t.leaf.remove()
	t.leaf = nil
}

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

package runner

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// sweepOnce looks once at every process that we may look at; unsure lists those
// whose environment cannot be read just now.
func sweepOnce(match func(instance string) bool) (killed, unsure []int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, nil
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, nil
	}
	self := os.Getpid()
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self {
			continue
		}
		env, ok := environ(pid)
		switch instance, marked := instanceOf(env); {
		case marked && match(instance):
			if killExactly(pid, match) {
				killed = append(killed, pid)
			} else {
				unsure = append(unsure, pid)
			}
		case !ok && blank(pid):
			unsure = append(unsure, pid)
		}
	}
	return killed, unsure
}

// bare are the processes that have no environment at all and were waited for in
// vain: start times by pid.
var bare sync.Map

// blank says that a process that shows no environment may be ours nevertheless. It
// may have none; most likely it is executing another program just now. What is older
// than this host is not waited for.
func blank(pid int) bool {
	if _, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe"); err != nil { // it ends, or is the kernel's own
		return false
	}
	start, err := processStart(pid)
	if err != nil || start < selfStart() {
		return false
	}
	known, ok := bare.Load(pid)
	return !ok || known != start
}

var selfStart = sync.OnceValue(func() uint64 {
	start, _ := processStart(os.Getpid()) // 0: everything is younger
	return start
})

// settle remembers processes that stayed blank, so that no sweep waits for them
// again.
func settle(unsure []int) {
	for _, pid := range unsure {
		if start, err := processStart(pid); err == nil {
			bare.Store(pid, start)
		}
	}
}

// environMost is more than almost all environments have, in bytes.
const environMost = 256 << 10

// environ reads the environment that a process was started with. ok is false when
// it is not whole: the process is executing another program just now, or has ended.
// What is not ours to read is empty and ok.
func environ(pid int) (env []byte, ok bool) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil, errors.Is(err, os.ErrPermission)
	}
	defer f.Close()
	// In one read: between two of them the file may come to its end, because the
	// memory that it shows is gone.
	buf := environs.Get().(*[]byte)
	defer environs.Put(buf)
	n, err := f.Read(*buf)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.Is(err, os.ErrPermission)
	}
	env = bytes.Clone((*buf)[:n])
	return env, n == environMost || n > 0 && env[n-1] == 0
}

var environs = sync.Pool{New: func() any { b := make([]byte, environMost); return &b }}

// carries looks for our mark in the environment of a process.
func carries(pid int, match func(instance string) bool) bool {
	env, _ := environ(pid)
	instance, ok := instanceOf(env)
	return ok && match(instance)
}

// killExactly kills the process that was looked at and not one that got its pid
// since: the descriptor pins it while the environment is read again.
func killExactly(pid int, match func(instance string) bool) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // old kernels, strict sandboxes
		return unix.Kill(pid, unix.SIGKILL) == nil
	}
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return carries(pid, match) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil
}

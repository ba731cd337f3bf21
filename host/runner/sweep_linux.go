package runner

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sweepOnce looks once at every process that we may look at.
func sweepOnce(match func(instance string) bool) (killed []int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil
	}
	self := os.Getpid()
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == self || !carries(pid, match) {
			continue
		}
		if killExactly(pid, match) {
			killed = append(killed, pid)
		}
	}
	return killed
}

// carries reads the environment that the process was started with. A process
// that has ended, or that is not ours, has none to read.
func carries(pid int, match func(instance string) bool) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil || len(env) == 0 {
		return false
	}
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

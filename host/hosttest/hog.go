//go:build unix

package hosttest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// hogVariable makes the test binary a process that holds as many MiB as it says
// until its stdin ends.
const hogVariable = "CLINVK_HOSTTEST_HOG"

func beHog(mb string) {
	hold(mb)
	_, _ = os.Stdout.WriteString("x")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// hold uses memory for good: mapped, because what is written to Go's own memory
// counts several times with the race detector.
func hold(mb string) {
	n, err := strconv.Atoi(mb)
	check(err)
	b, err := unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	check(err)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
}

// startHog starts a process that holds memory and returns when it does.
func startHog(mb string) (cmd *exec.Cmd, end func()) {
	self, err := os.Executable()
	check(err)
	cmd = exec.CommandContext(context.Background(), self, argument, "{}")
	cmd.Env = append(os.Environ(), hogVariable+"="+mb)
	stdin, err := cmd.StdinPipe()
	check(err)
	stdout, err := cmd.StdoutPipe()
	check(err)
	check(cmd.Start())
	var b [1]byte
	_, _ = stdout.Read(b[:]) // at its end it is dead already, which Wait tells
	return cmd, sync.OnceFunc(func() { _ = stdin.Close() })
}

// hogChild is a turn whose work a descendant does.
func hogChild(stream backendv1.BackendService_ExecuteServer, mb string) error {
	cmd, end := startHog(mb)
	defer context.AfterFunc(stream.Context(), end)()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return stream.Context().Err()
	}
	return stream.Send(&backendv1.ExecuteResponse{Sequence: 2, Event: &backendv1.ExecuteResponse_Failed{Failed: &backendv1.Failed{
		Code: backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE, Message: "the descendant ended: " + exit.String(),
	}}})
}

// fork leaves processes in sessions of their own.
func fork(count string) {
	n, err := strconv.Atoi(count)
	check(err)
	for range n {
		cmd := exec.CommandContext(context.Background(), "sleep", "600")
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		check(cmd.Start())
	}
}

// kept are the processes that are kept for later.
type kept struct {
	mu          sync.Mutex
	spare, idle func()
}

// keep starts what the script says and is not there.
func (k *kept) keep(s Script) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, of := range []struct {
		end *func()
		mb  int
	}{{&k.spare, s.SpareMB}, {&k.idle, s.IdleMB}} {
		if of.mb == 0 || *of.end != nil {
			continue
		}
		cmd, end := startHog(strconv.Itoa(of.mb))
		go func() { _ = cmd.Wait() }() // ends with the process, at the latest with this one
		*of.end = end
	}
}

// relieve ends what is given up, and starts it again when nothing is.
func (k *kept) relieve(s Script, level backendv1.ReliefLevel) {
	if level <= backendv1.ReliefLevel_RELIEF_LEVEL_NONE {
		k.keep(s)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.spare != nil {
		k.spare()
		k.spare = nil
	}
	if level >= backendv1.ReliefLevel_RELIEF_LEVEL_IDLE && k.idle != nil {
		k.idle()
		k.idle = nil
	}
}

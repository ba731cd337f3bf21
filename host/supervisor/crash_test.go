//go:build linux

package supervisor_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// TestCrashInTurn shows what a turn sees when its plugin dies under it, and that
// the next turn works.
func TestCrashInTurn(t *testing.T) {
	for _, tt := range []struct {
		kind string
		code int
		exit string
		tail string
	}{
		{hosttest.PanicHandler, 2, "exit status 2", "panic: in the handler"},
		{hosttest.PanicElsewhere, 2, "exit status 2", "panic: in a goroutine"},
		{hosttest.ExitNow, 3, "exit status 3", ""},
		{hosttest.Segfault, 2, "exit status 2", "SIGSEGV"},
		{hosttest.StopSelf, -1, "signal: killed", ""},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			var change func(*supervisor.Config)
			if tt.kind == hosttest.StopSelf { // only the polls find that
				change = often
			}
			s := run(t, change, hosttest.Entry(t, hosttest.Script{}))
			l := acquire(t, s)
			_, err := turn(t.Context(), l, tt.kind, "")
			if grpcstatus.Code(err) != codes.Unavailable {
				t.Fatalf("error %v, want unavailable", err)
			}
			select {
			case <-l.Exited():
			case <-time.After(5 * time.Second):
				t.Fatal("the exit is not seen")
			}
			exit := l.Exit()
			if exit.Code != tt.code || exit.String() != tt.exit || !strings.Contains(exit.StderrTail, tt.tail) {
				t.Errorf("exit: %+v", exit)
			}
			l.Release()
			next := acquire(t, s)
			if next.Generation() == l.Generation() {
				t.Error("the generation is the same")
			}
			if got, err := turn(t.Context(), next, hosttest.Echo, "again"); err != nil || got != "again" {
				t.Fatalf("next turn: %q, %v", got, err)
			}
			st := status(t, s)
			if st.Restarts != 1 || st.LastExit == nil || st.LastExit.Code != tt.code || len(st.Models) != 2 {
				t.Errorf("status: %+v", st)
			}
		})
	}
}

// TestFlood shows that no output hurts the host or blocks the plugin.
func TestFlood(t *testing.T) {
	for _, kind := range []string{hosttest.BadRecord, hosttest.FloodStderr, hosttest.FloodStdout, hosttest.FloodStdio} {
		t.Run(kind, func(t *testing.T) {
			s := run(t, nil, hosttest.Entry(t, hosttest.Script{}))
			l := acquire(t, s)
			began := time.Now()
			if got, err := turn(t.Context(), l, kind, "still here"); err != nil || got != "still here" {
				t.Fatalf("turn: %q, %v", got, err)
			}
			t.Logf("took %v", time.Since(began))
			if st := status(t, s); st.Restarts != 0 {
				t.Errorf("restarts: %d", st.Restarts)
			}
		})
	}
}

func TestHugeAnswer(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{}))
	l := acquire(t, s)
	if _, err := turn(t.Context(), l, hosttest.HugeAnswer, ""); grpcstatus.Code(err) != codes.ResourceExhausted {
		t.Fatalf("error %v, want resource exhausted", err)
	}
	if got, err := turn(t.Context(), l, hosttest.Echo, "same process"); err != nil || got != "same process" {
		t.Fatalf("next turn: %q, %v", got, err)
	}
}

// TestDescendants shows that what a plugin leaves behind dies with it, also when it
// has left the process group or holds the plugin's stderr.
func TestDescendants(t *testing.T) {
	for _, kind := range []string{hosttest.Daemon, hosttest.HoldStderr} {
		for _, how := range []string{"crash", "stop"} {
			t.Run(kind+", "+how, func(t *testing.T) {
				s := run(t, nil, hosttest.Entry(t, hosttest.Script{}))
				l := acquire(t, s)
				answer, err := turn(t.Context(), l, kind, "")
				if err != nil {
					t.Fatal(err)
				}
				pid, err := strconv.Atoi(answer)
				if err != nil || syscall.Kill(pid, 0) != nil {
					t.Fatalf("the descendant %q does not run: %v", answer, err)
				}
				began := time.Now()
				if how == "crash" {
					kill(t, status(t, s).PID)
				} else {
					l.Release()
					stop(t, s, 5*time.Second)
				}
				<-l.Exited()
				t.Logf("gone after %v", time.Since(began))
				eventually(t, "the descendant is gone", func() bool { return dead(pid) })
			})
		}
	}
}

// dead says that a process is gone, or waits for nothing but its parent.
func dead(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func kill(t testing.TB, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("no process")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, s *supervisor.Supervisor, limit time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	return time.Since(began)
}

// TestKillLatency holds the design to its numbers: a turn in flight fails within
// 10 ms of a SIGKILL and the backend serves again within 250 ms. The best of a few
// tries counts, and where a start takes long (a busy machine, the race detector) no
// more than a few times that.
func TestKillLatency(t *testing.T) {
	began := time.Now()
	s := run(t, func(c *supervisor.Config) { c.Timings.Reset = time.Nanosecond; c.Timings.CrashWindow = time.Nanosecond }, hosttest.Entry(t, hosttest.Script{}))
	limit := max(250*time.Millisecond, 3*time.Since(began))
	bestFail, bestServe := time.Hour, time.Hour
	for range 5 {
		l := acquire(t, s)
		stream, err := open(t.Context(), l, hosttest.Block, "")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		kill(t, status(t, s).PID)
		if _, err := stream.Recv(); grpcstatus.Code(err) != codes.Unavailable {
			t.Fatalf("error %v, want unavailable", err)
		}
		failed := time.Since(began)
		l.Release()
		next := acquire(t, s)
		if _, err := turn(t.Context(), next, hosttest.Echo, ""); err != nil {
			t.Fatal(err)
		}
		served := time.Since(began)
		next.Release()
		t.Logf("failed after %v, served after %v", failed, served)
		bestFail, bestServe = min(bestFail, failed), min(bestServe, served)
	}
	if bestFail > 10*time.Millisecond || bestServe > limit {
		t.Errorf("failed after %v, served after %v", bestFail, bestServe)
	}
}

// TestDeaf shows that a process that answers no health checks is replaced.
func TestDeaf(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, s *supervisor.Supervisor, flag string)
	}{
		{"stopped", func(t *testing.T, s *supervisor.Supervisor, _ string) {
			if err := syscall.Kill(status(t, s).PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}},
		{"Health hangs", func(t *testing.T, _ *supervisor.Supervisor, flag string) {
			if err := os.WriteFile(flag, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			flag := filepath.Join(dir, "deaf")
			s := run(t, often, hosttest.Entry(t, hosttest.Script{
				Answer: hosttest.HangHealth, Flag: flag, Starts: filepath.Join(dir, "starts"), FaultyStarts: 1,
			}))
			before := status(t, s).PID
			tt.make(t, s, flag)
			eventually(t, "a new process serves", func() bool {
				st := status(t, s)
				return st.State == supervisor.StateReady && st.PID != before
			})
			if st := status(t, s); !strings.Contains(st.LastError, "did not answer 3 health checks") {
				t.Errorf("last error: %q", st.LastError)
			}
		})
	}
}

//go:build linux

package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// count is how many lines hold a text.
func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

// walled gives the backend "fake" limits, 0: none, and watches them closely. Others
// have none.
func walled(j *journal, memory int64, processes int) func(*supervisor.Config) {
	return func(c *supervisor.Config) {
		c.Timings.Watch, c.Timings.Relief = 20*time.Millisecond, 150*time.Millisecond
		c.Timings.CrashWindow = time.Nanosecond // one test may crash it more than once
		c.Logger = slog.New(slog.NewTextHandler(j, nil))
		c.Settings = func(name string) supervisor.Settings {
			s := supervisor.DefaultSettings(name)
			if name == "fake" {
				s.MaxMemory, s.MaxProcesses = memory, processes
			}
			return s
		}
	}
}

// atRest is the memory of the fake plugin when it does nothing: with the race
// detector several times of what it is without.
var atRest = sync.OnceValue(func() int64 { return 0 })

// rest measures that once.
func rest(t testing.TB) int64 {
	t.Helper()
	if n := atRest(); n > 0 {
		return n
	}
	s := run(t, walled(&journal{}, 0, 0), hosttest.Entry(t, hosttest.Script{}))
	l := acquire(t, s)
	if _, err := turn(t.Context(), l, hosttest.Echo, "x"); err != nil {
		t.Fatal(err)
	}
	l.Release()
	var n int64
	eventually(t, "the plugin is measured", func() bool {
		st := status(t, s)
		n = st.Memory
		return st.Processes == 1 && n > 0
	})
	atRest = func() int64 { return n }
	return n
}

const mb = 1 << 20

var usedTooMuch = regexp.MustCompile(`backend fake used \d+ MB of its \d+ MB limit`)

// TestReliefIsEnough shows that a backend that gives up what it keeps for later has
// nothing stopped, and that new turns wait only meanwhile.
func TestReliefIsEnough(t *testing.T) {
	for _, tt := range []struct {
		name        string
		spare, idle int
		room        int64 // MiB above the plugin's rest
		kept        int   // processes afterwards
	}{
		{"spares", 150, 100, 200, 2},
		{"spares and idle conversations", 60, 300, 320, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limit := rest(t) + tt.room*mb
			j := &journal{}
			change := walled(j, limit, 0)
			s := run(t, func(c *supervisor.Config) { change(c); c.Timings.Relief = 2 * time.Second }, // a busy machine ends processes slowly
				hosttest.Entry(t, hosttest.Script{SpareMB: tt.spare, IdleMB: tt.idle}))
			before := status(t, s).PID
			eventually(t, "new turns wait", func() bool { return j.count("new turns wait") == 1 })
			if reason, changed := s.Pressure("fake"); reason != "" {
				if !usedTooMuch.MatchString(reason) {
					t.Errorf("reason: %q", reason)
				}
				select {
				case <-changed:
				case <-time.After(10 * time.Second):
					t.Fatal("the pressure does not end")
				}
			}
			eventually(t, "the rest is kept", func() bool {
				st := status(t, s)
				return st.Processes == tt.kept && st.Memory < limit && st.Pressure == ""
			})
			st := status(t, s)
			if st.PID != before || st.Restarts != 0 || st.MaxMemory != limit || j.count("is stopped") != 0 {
				t.Errorf("status %+v, log:\n%s", st, j.text.String())
			}
			if n := j.count("new turns wait"); n != 1 {
				t.Errorf("%d warnings of one episode", n)
			}
		})
	}
}

// TestSparesReturn shows that spares are kept again after a while.
func TestSparesReturn(t *testing.T) {
	j := &journal{}
	change := walled(j, rest(t)+160*mb, 0)
	s := run(t, func(c *supervisor.Config) { change(c); c.Timings.ReliefFor = 300 * time.Millisecond },
		hosttest.Entry(t, hosttest.Script{SpareMB: 200}))
	eventually(t, "the spare went", func() bool { return status(t, s).Processes == 1 })
	eventually(t, "it came back and was too much again", func() bool { return j.count("new turns wait") > 1 })
}

// TestBiggestIsStopped shows that a plugin that gives nothing up loses its biggest
// process, and nothing else is touched.
func TestBiggestIsStopped(t *testing.T) {
	for _, fault := range []hosttest.Fault{hosttest.IgnoreRelieve, hosttest.HangRelieve, hosttest.NoRelieve} {
		t.Run(string(fault), func(t *testing.T) {
			limit := rest(t) + 150*mb
			j := &journal{}
			s := run(t, walled(j, limit, 0), hosttest.Entry(t, hosttest.Script{Answer: fault, SpareMB: 200, IdleMB: 50}))
			before := status(t, s).PID
			eventually(t, "the biggest is stopped", func() bool { return j.count("is stopped") == 1 })
			eventually(t, "turns are taken again", func() bool { st := status(t, s); return st.Pressure == "" && st.Processes == 2 })
			if st := status(t, s); st.PID != before || st.Restarts != 0 || st.Memory > limit || j.count("is stopped") != 1 {
				t.Errorf("status: %+v", st)
			}
			l := acquire(t, s)
			if got, err := turn(t.Context(), l, hosttest.Echo, "fine"); err != nil || got != "fine" {
				t.Errorf("turn: %q, %v", got, err)
			}
		})
	}
}

// TestHogInATurn shows that a turn whose process uses too much fails with the reason,
// while other turns of the backend and other backends go on.
func TestHogInATurn(t *testing.T) {
	j := &journal{}
	s := run(t, walled(j, rest(t)+100*mb, 0),
		hosttest.Entry(t, hosttest.Script{}), hosttest.Entry(t, hosttest.Script{Name: "other", SpareMB: 200}))
	others, _ := s.Status("other")
	other, err := s.Acquire(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Release)
	l := acquire(t, s)
	var beside []backendv1.BackendService_ExecuteClient
	for _, of := range []*supervisor.Lease{l, other} {
		stream, err := open(t.Context(), of, hosttest.Block, "")
		if err != nil {
			t.Fatal(err)
		}
		beside = append(beside, stream)
	}
	if reason, _ := l.Stopped(); reason != "" {
		t.Errorf("stopped before: %q", reason)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	hog, err := open(ctx, l, hosttest.HogChild, "300")
	if err != nil {
		t.Fatal(err)
	}
	var failed *backendv1.Failed
	for {
		e, err := hog.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.GetFailed() != nil {
			failed = e.GetFailed()
		}
	}
	if !strings.Contains(failed.GetMessage(), "signal: killed") {
		t.Errorf("failed: %v", failed)
	}
	if reason, at := l.Stopped(); !usedTooMuch.MatchString(reason) || time.Since(at) > 10*time.Second {
		t.Errorf("stopped %q, %v", reason, at)
	}
	if reason, _ := other.Stopped(); reason != "" {
		t.Errorf("the other was stopped: %q", reason)
	}
	eventually(t, "turns are taken again", func() bool { return status(t, s).Pressure == "" })
	for _, stream := range beside {
		if err := stream.Context().Err(); err != nil {
			t.Errorf("a turn beside it ended: %v", err)
		}
	}
	now, _ := s.Status("other")
	if now.PID != others.PID || now.Pressure != "" || now.Processes != 2 {
		t.Errorf("other: %+v", now)
	}
}

// TestHogItself shows that a plugin that is the biggest itself is stopped, says why,
// and is replaced.
func TestHogItself(t *testing.T) {
	s := run(t, walled(&journal{}, rest(t)+100*mb, 0), hosttest.Entry(t, hosttest.Script{SpareMB: 20}))
	l := acquire(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := turn(ctx, l, hosttest.HogSelf, "300"); grpcstatus.Code(err) != codes.Unavailable {
		t.Fatalf("error %v, want unavailable", err)
	}
	if reason, _ := l.Stopped(); !usedTooMuch.MatchString(reason) {
		t.Errorf("stopped: %q", reason)
	}
	l.Release()
	next := acquire(t, s)
	if next.Generation() == l.Generation() {
		t.Error("the generation is the same")
	}
	eventually(t, "turns are taken again", func() bool { return status(t, s).Pressure == "" })
	if got, err := turn(t.Context(), next, hosttest.Echo, "again"); err != nil || got != "again" {
		t.Errorf("next turn: %q, %v", got, err)
	}
	if st := status(t, s); !strings.Contains(st.LastError, "stopped because backend fake used") || st.Restarts != 1 {
		t.Errorf("status: %+v", st)
	}
}

// TestTooManyProcesses shows that those that are too many go, or with a fork bomb the
// whole tree.
func TestTooManyProcesses(t *testing.T) {
	for _, tt := range []struct {
		name, count string
		every       time.Duration // so that a bomb is not met while it grows
		bomb        bool
	}{
		{"some", "30", 20 * time.Millisecond, false},
		{"a fork bomb", "100", time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := &journal{}
			change := walled(j, 0, 20)
			var runtimeDir string
			s := run(t, func(c *supervisor.Config) { change(c); runtimeDir, c.Timings.Watch = c.RuntimeDir, tt.every }, hosttest.Entry(t, hosttest.Script{}))
			before := status(t, s)
			l := acquire(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			stream, err := open(ctx, l, hosttest.ForkMany, tt.count)
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "something is stopped", func() bool { return j.count("is stopped") > 0 })
			if tt.bomb {
				if _, err := stream.Recv(); grpcstatus.Code(err) != codes.Unavailable {
					t.Fatalf("error %v, want unavailable", err)
				}
				l.Release()
				acquire(t, s).Release()
				eventually(t, "the tree is gone", func() bool { return len(sleepers(t, runtimeDir)) == 0 })
			}
			eventually(t, "turns are taken again", func() bool { st := status(t, s); return st.Pressure == "" && st.Processes < 20 })
			st := status(t, s)
			if (st.PID != before.PID) != tt.bomb || (st.Restarts == 1) != tt.bomb {
				t.Errorf("status: %+v", st)
			}
			if tt.bomb && !regexp.MustCompile(`stopped because backend fake ran \d+ processes, its limit is 20`).MatchString(st.LastError) {
				t.Errorf("last error: %q", st.LastError)
			}
			if left := len(sleepers(t, runtimeDir)); !tt.bomb && (left == 0 || left >= 20) {
				t.Errorf("%d processes are left", left)
			}
		})
	}
}

// sleepers are the pids of the sleeping processes of plugins whose sockets are in dir.
func sleepers(t testing.TB, dir string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(dir)) {
			continue
		}
		if name, err := os.ReadFile(filepath.Join(filepath.Dir(path), "comm")); err == nil && string(name) == "sleep\n" {
			pids = append(pids, filepath.Base(filepath.Dir(path)))
		}
	}
	return pids
}

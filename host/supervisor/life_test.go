//go:build linux

package supervisor_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestTurn(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []hosttest.Option
	}{{"mutual TLS", nil}, {"plain", []hosttest.Option{hosttest.Plain}}} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			s := run(t, nil, hosttest.Entry(t, hosttest.Script{}, tt.opts...))
			t.Logf("ready after %v", time.Since(began))
			st := status(t, s)
			if st.State != supervisor.StateReady || st.Version != "1.2.3" || st.PID == 0 || len(st.Models) != 2 || st.Generation == 0 {
				t.Fatalf("status: %+v", st)
			}
			l := acquire(t, s)
			if got, err := turn(t.Context(), l, hosttest.Echo, "hello"); err != nil || got != "hello" {
				t.Fatalf("turn: %q, %v", got, err)
			}
			if st := status(t, s); st.Leases != 1 {
				t.Errorf("leases: %d", st.Leases)
			}
			l.Release()
			l.Release() // a second one changes nothing
			if st := status(t, s); st.Leases != 0 {
				t.Errorf("leases: %d", st.Leases)
			}
		})
	}
}

// TestConfigure shows what reaches the CLI's environment and what does not.
func TestConfigure(t *testing.T) {
	t.Setenv("OTHER_API_KEY", "canary-in-the-host")
	server := map[string]string{"WANTED_API_KEY": "wanted-value", "DENIED_API_KEY": "denied-value", "CLINVK_API_KEYS": "server-value", "UNASKED": "unasked-value"}
	s := run(t, func(c *supervisor.Config) {
		c.LookupEnv = func(name string) (string, bool) { v, ok := server[name]; return v, ok }
		c.Settings = func(string) supervisor.Settings {
			return supervisor.Settings{
				Enabled: true, Warm: 3, Config: json.RawMessage(`{"a":{"b":[1,true,null]}}`),
				Environment: map[string]string{"EXTRA": "extra-value"},
			}
		}
		c.Policy = policy{granted: func(_ catalog.Entry, _, name string) bool { return name != "DENIED_API_KEY" }}
	}, hosttest.Entry(t, hosttest.Script{Environment: []string{"WANTED_API_KEY", "DENIED_API_KEY", "CLINVK_API_KEYS", "MISSING", "bad name"}}))
	env, err := turn(t.Context(), acquire(t, s), hosttest.Secrets, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"configured:WANTED_API_KEY=wanted-value", "configured:EXTRA=extra-value", "CLINVK_STDIN_GUARD=1", "PATH="} {
		if !strings.Contains(env, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, secret := range []string{"denied-value", "server-value", "unasked-value", "canary-in-the-host", "\nWANTED_API_KEY=", "MISSING"} {
		if strings.Contains(env, secret) {
			t.Errorf("%q reached the plugin", secret)
		}
	}
}

// TestSecretsAreMasked shows that a plugin that prints its key does not get it into
// logs or error texts.
func TestSecretsAreMasked(t *testing.T) {
	const secret = "canary-0123456789"
	var log syncBuffer
	s := run(t, func(c *supervisor.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.LookupEnv = func(string) (string, bool) { return secret, true }
	}, hosttest.Entry(t, hosttest.Script{Environment: []string{"FAKE_API_KEY"}}))
	l := acquire(t, s)
	if _, err := turn(t.Context(), l, hosttest.LeakSecret, ""); err == nil {
		t.Fatal("the turn worked")
	}
	<-l.Exited()
	if tail := l.Exit().StderrTail; !strings.Contains(tail, "the key is [redacted]") {
		t.Errorf("tail: %q", tail)
	}
	eventually(t, "the line is logged", func() bool { return strings.Contains(log.String(), "the key is [redacted]") })
	if strings.Contains(log.String(), secret) {
		t.Error("the secret is in the log")
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestWarningKeepsServing(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{Answer: hosttest.WarnConfigure}))
	st := status(t, s)
	if st.State != supervisor.StateReady || len(st.Warnings) != 1 || st.Warnings[0] != "/size: rather large" {
		t.Fatalf("status: %+v", st)
	}
}

func TestDisabled(t *testing.T) {
	s := run(t, func(c *supervisor.Config) {
		c.Settings = func(string) supervisor.Settings { return supervisor.Settings{} }
	}, hosttest.Entry(t, hosttest.Script{}))
	_, err := s.Acquire(t.Context(), "fake")
	var e *supervisor.NotAvailableError
	if !errors.As(err, &e) || e.State != supervisor.StateDisabled || !strings.Contains(e.Remedy, "backends.fake.enabled") {
		t.Fatalf("error: %v", err)
	}
	if err := s.Restart(t.Context(), "fake"); !errors.As(err, &e) {
		t.Fatalf("restart: %v", err)
	}
}

func TestUnknownName(t *testing.T) {
	s := run(t, nil)
	var e *supervisor.NotAvailableError
	if _, err := s.Acquire(t.Context(), "nobody"); !errors.As(err, &e) || e.State != "" {
		t.Fatalf("error: %v", err)
	}
	if err := s.Restart(t.Context(), "nobody"); !errors.As(err, &e) {
		t.Fatalf("error: %v", err)
	}
}

// TestCLIAppears shows that a missing CLI is no fault of the plugin, and that its
// installation is noticed.
func TestCLIAppears(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "installed")
	s := run(t, often, hosttest.Entry(t, hosttest.Script{Answer: hosttest.NotInstalled, Flag: flag}))
	st := status(t, s)
	if st.State != supervisor.StateDegraded || st.Health.GetState() != backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED || st.Health.GetRemedy() != "npm install fake" {
		t.Fatalf("status: %+v", st)
	}
	acquire(t, s)
	if err := os.WriteFile(flag, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backend is healthy", func() bool {
		st := status(t, s)
		return st.State == supervisor.StateReady && st.Health.GetState() == backendv1.HealthState_HEALTH_STATE_READY
	})
	if st := status(t, s); st.Restarts != 0 {
		t.Errorf("restarts: %d", st.Restarts)
	}
}

// TestRestart shows that a restart has no gap: the turn in flight goes on, the next
// one is on the new process.
func TestRestart(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{}))
	old := acquire(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := open(ctx, old, hosttest.Block, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), "fake"); err != nil {
		t.Fatal(err)
	}
	next := acquire(t, s)
	if next.Generation() == old.Generation() {
		t.Error("the generation is the same")
	}
	if got, err := turn(t.Context(), next, hosttest.Echo, "new"); err != nil || got != "new" {
		t.Fatalf("turn on the new process: %q, %v", got, err)
	}
	if got, err := turn(t.Context(), old, hosttest.Echo, "old"); err != nil || got != "old" {
		t.Fatalf("turn on the old process: %q, %v", got, err)
	}
	cancel()
	if _, err := stream.Recv(); err == nil {
		t.Fatal("the cancelled turn goes on")
	}
	old.Release()
	select {
	case <-old.Exited():
	case <-time.After(5 * time.Second):
		t.Fatal("the old process does not end")
	}
}

func TestFailedRestartKeepsServing(t *testing.T) {
	dir := t.TempDir()
	starts := filepath.Join(dir, "starts")
	if err := os.WriteFile(starts, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	entry := hosttest.Entry(t, hosttest.Script{})
	s := run(t, nil, entry)
	before := status(t, s)
	if err := os.Rename(entry.Path, entry.Path+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context(), "fake"); err == nil {
		t.Fatal("the restart worked")
	}
	if st := status(t, s); st.PID != before.PID || !st.State.Serves() {
		t.Fatalf("status: %+v", st)
	}
	if got, err := turn(t.Context(), acquire(t, s), hosttest.Echo, "hi"); err != nil || got != "hi" {
		t.Fatalf("turn: %q, %v", got, err)
	}
}

// TestQuarantine shows that a plugin that keeps crashing is left alone until it is
// restarted by hand.
func TestQuarantine(t *testing.T) {
	s := run(t, func(c *supervisor.Config) { c.Timings.Backoff = time.Millisecond },
		hosttest.Entry(t, hosttest.Script{Start: hosttest.Exit0, Starts: filepath.Join(t.TempDir(), "starts"), FaultyStarts: 5}))
	eventually(t, "quarantine", func() bool { return status(t, s).State == supervisor.StateQuarantined })
	var e *supervisor.NotAvailableError
	if _, err := s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || !strings.Contains(e.Remedy, "clinvk plugin restart fake") {
		t.Fatalf("error: %v", err)
	}
	if err := s.Restart(t.Context(), "fake"); err != nil {
		t.Fatal(err)
	}
	if st := status(t, s); st.State != supervisor.StateReady || st.LastError != "" {
		t.Fatalf("status: %+v", st)
	}
}

// TestAcquireWaits shows that a request does not fail because its plugin is just
// being restarted.
func TestAcquireWaits(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{}))
	kill(t, status(t, s).PID)
	for range 20 {
		l, err := s.Acquire(t.Context(), "fake")
		if err != nil {
			t.Fatal(err)
		}
		// The kill may not have been noticed when the first lease is given.
		_, err = turn(t.Context(), l, hosttest.Echo, "")
		l.Release()
		if err == nil {
			return
		}
	}
	t.Fatal("no turn works")
}

// TestAcquireKnowsWhen shows that nobody waits for a start that is far away, and that
// the error says when to ask again.
func TestAcquireKnowsWhen(t *testing.T) {
	t.Run("later", func(t *testing.T) {
		s := run(t, func(c *supervisor.Config) {
			c.Timings.Backoff, c.Timings.BackoffMost, c.Timings.Acquire = time.Hour, time.Hour, time.Minute
		}, hosttest.Entry(t, hosttest.Script{Start: hosttest.Panic}))
		eventually(t, "the second crash", func() bool { return status(t, s).State == supervisor.StateBackoff })
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var e *supervisor.NotAvailableError
		if _, err := s.Acquire(ctx, "fake"); !errors.As(err, &e) || e.RetryAfter < 30*time.Minute {
			t.Errorf("%v, %+v", err, e)
		}
	})
	t.Run("now", func(t *testing.T) {
		s, started := hung(t, supervisor.Timings{Handshake: time.Hour, Acquire: time.Millisecond})
		defer func() { stop(t, s, time.Minute); <-started }()
		var e *supervisor.NotAvailableError
		if _, err := s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || e.State != supervisor.StateStarting || e.RetryAfter != time.Second {
			t.Errorf("%v, %+v", err, e)
		}
	})
}

func TestStop(t *testing.T) {
	for _, tt := range []struct {
		name     string
		script   hosttest.Script
		busy     bool
		limit    time.Duration
		shutdown time.Duration // how long a plugin may take to end by itself
		atLeast  time.Duration
	}{
		{name: "idle", limit: time.Hour, shutdown: time.Hour},
		{name: "busy", busy: true, limit: 1500 * time.Millisecond, shutdown: time.Second, atLeast: 400 * time.Millisecond},
		{name: "deaf to all", script: hosttest.Script{Start: hosttest.IgnoreShutdown}, limit: time.Hour, shutdown: time.Second, atLeast: 900 * time.Millisecond},
		{name: "in a hurry", script: hosttest.Script{Start: hosttest.IgnoreShutdown}, busy: true, limit: time.Millisecond, shutdown: time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := run(t, func(c *supervisor.Config) { c.Timings.Shutdown = tt.shutdown }, hosttest.Entry(t, tt.script))
			l := acquire(t, s)
			if tt.busy {
				if _, err := open(t.Context(), l, hosttest.Block, ""); err != nil {
					t.Fatal(err)
				}
			} else {
				l.Release()
			}
			if took := stop(t, s, tt.limit); took < tt.atLeast || took > time.Minute { // what could be waited for lasts an hour
				t.Errorf("took %v, want %v or more", took, tt.atLeast)
			}
			if st := status(t, s); st.State != supervisor.StateStopped || st.PID != 0 {
				t.Errorf("status: %+v", st)
			}
			var e *supervisor.NotAvailableError
			if _, err := s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || e.State != supervisor.StateStopped {
				t.Errorf("acquire: %v", err)
			}
		})
	}
}

// TestStopWhileStarting shows that a start that hangs does not delay the end.
func TestStopWhileStarting(t *testing.T) {
	s, started := hung(t, supervisor.Timings{Handshake: time.Hour})
	if took := stop(t, s, time.Minute); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	<-started
}

// hung is a supervisor in the start of a plugin that hangs in it. The caller stops it,
// and then Start ends.
func hung(t *testing.T, timings supervisor.Timings) (s *supervisor.Supervisor, started <-chan error) {
	t.Helper()
	s, err := supervisor.New(supervisor.Config{
		Entries:  []catalog.Entry{hosttest.Entry(t, hosttest.Script{Start: hosttest.Hang})},
		StateDir: t.TempDir(), RuntimeDir: hosttest.RuntimeDir(t), Timings: timings,
	})
	if err != nil {
		t.Fatal(err)
	}
	start := make(chan error, 1)
	go func() { start <- s.Start(context.Background()) }()
	eventually(t, "the start has begun", func() bool { return status(t, s).State == supervisor.StateStarting })
	return s, start
}

func TestBadSetup(t *testing.T) {
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil { // whatever the umask
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		config supervisor.Config
		want   string
	}{
		{"no state directory", supervisor.Config{}, "no state directory"},
		{"a name twice", supervisor.Config{StateDir: t.TempDir(), Entries: []catalog.Entry{{Name: "a"}, {Name: "a"}}}, "listed twice"},
		{"a long runtime directory", supervisor.Config{StateDir: t.TempDir(), RuntimeDir: filepath.Join(t.TempDir(), strings.Repeat("x", 90))}, "too long for sockets"},
		{"an open runtime directory", supervisor.Config{StateDir: t.TempDir(), RuntimeDir: open}, "chmod 700"},
		{"a state directory that is a file", supervisor.Config{StateDir: os.Args[0], RuntimeDir: hosttest.RuntimeDir(t)}, "making the state directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := supervisor.New(tt.config)
			if err == nil {
				err = s.Start(t.Context())
				stop(t, s, time.Second)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{Name: "zwei"}), hosttest.Entry(t, hosttest.Script{Name: "eins"}))
	names := s.Names()
	if len(names) != 2 || names[0] != "eins" || names[1] != "zwei" {
		t.Fatalf("names: %v", names)
	}
	names[0] = "changed"
	for i, st := range s.Statuses() {
		if st.Name != s.Names()[i] || st.State != supervisor.StateReady || st.Describe.GetName() != st.Name {
			t.Errorf("status: %+v", st)
		}
	}
	if _, ok := s.Status("drei"); ok {
		t.Error("a status of nothing")
	}
}

// TestSlowModels shows that a backend serves before it has told its models.
func TestSlowModels(t *testing.T) {
	s := run(t, func(c *supervisor.Config) { c.Timings.Models = 50 * time.Millisecond }, hosttest.Entry(t, hosttest.Script{Answer: hosttest.HangModels}))
	if st := status(t, s); st.State != supervisor.StateReady || st.Models != nil {
		t.Fatalf("status: %+v", st)
	}
}

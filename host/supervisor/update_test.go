//go:build linux

package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// plugins is a directory of plugins and the supervisor that runs them.
type plugins struct {
	t   *testing.T
	dir string
	s   *supervisor.Supervisor
}

// runDir runs what the function puts into a plugin directory.
func runDir(t *testing.T, change func(*supervisor.Config), fill func(p *plugins)) *plugins {
	t.Helper()
	p := &plugins{t: t, dir: t.TempDir()}
	if err := os.Chmod(p.dir, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	fill(p)
	p.s = run(t, change, p.scan()...)
	return p
}

func (p *plugins) scan() []catalog.Entry {
	p.t.Helper()
	entries, err := catalog.Scan(p.t.Context(), catalog.Config{Dirs: []string{p.dir}})
	if err != nil {
		p.t.Fatal(err)
	}
	return entries
}

func (p *plugins) install(name string, script hosttest.Script) string {
	p.t.Helper()
	if script.Name == "" {
		script.Name = name
	}
	return hosttest.Install(p.t, p.dir, name, hosttest.Program(p.t, script))
}

func (p *plugins) update() {
	p.t.Helper()
	if err := p.s.Update(p.scan()); err != nil {
		p.t.Fatal(err)
	}
}

// replaced waits until another process than before serves, and nothing is wrong.
func (p *plugins) replaced(before supervisor.Status) supervisor.Status {
	p.t.Helper()
	var st supervisor.Status
	eventually(p.t, "another process serves", func() bool {
		st = status(p.t, p.s)
		return st.State == supervisor.StateReady && st.PID != before.PID && st.UpdateError == ""
	})
	return st
}

func one(p *plugins) { p.install("fake", hosttest.Script{}) }

func TestUpdateAdds(t *testing.T) {
	p := runDir(t, func(c *supervisor.Config) {
		c.Settings = func(name string) supervisor.Settings { return supervisor.Settings{Enabled: name != "off", Warm: -1} }
	}, func(*plugins) {})
	if names := p.s.Names(); len(names) != 0 {
		t.Fatalf("names: %v", names)
	}
	p.install("fake", hosttest.Script{})
	p.install("off", hosttest.Script{})
	p.update()
	if got, err := turn(t.Context(), acquire(t, p.s), hosttest.Echo, "hi"); err != nil || got != "hi" {
		t.Fatalf("turn: %q, %v", got, err)
	}
	before := status(t, p.s)
	if st, _ := p.s.Status("off"); st.State != supervisor.StateDisabled {
		t.Errorf("status: %+v", st)
	}
	p.update() // nothing has changed
	p.install("later", hosttest.Script{})
	p.update()
	eventually(t, "the later one serves", func() bool { st, _ := p.s.Status("later"); return st.State == supervisor.StateReady })
	if st := status(t, p.s); st.PID != before.PID || len(p.s.Names()) != 3 {
		t.Errorf("names %v, status %+v", p.s.Names(), st)
	}
}

// TestUpdateRemoves shows that a plugin that is removed finishes its turn, takes no
// other, and is gone then; and that one of its name that comes meanwhile is a new one.
func TestUpdateRemoves(t *testing.T) {
	for _, again := range []bool{false, true} {
		p := runDir(t, nil, one)
		old := acquire(t, p.s)
		if err := os.Remove(status(t, p.s).Path); err != nil {
			t.Fatal(err)
		}
		p.update()
		eventually(t, "no more turns are taken", func() bool { return status(t, p.s).State == supervisor.StateDraining })
		var e *supervisor.NotAvailableError
		if _, err := p.s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || e.Reason != "the plugin was removed" {
			t.Fatalf("acquire: %v", err)
		}
		if err := p.s.Restart(t.Context(), "fake"); !errors.As(err, &e) {
			t.Fatalf("restart: %v", err)
		}
		p.update() // still gone
		if again {
			one(p)
			p.update()
			next := acquire(t, p.s)
			if next.Generation() == old.Generation() {
				t.Fatal("the generation is the same")
			}
			next.Release()
		}
		if got, err := turn(t.Context(), old, hosttest.Echo, "old"); err != nil || got != "old" {
			t.Fatalf("turn on the old process: %q, %v", got, err)
		}
		old.Release()
		select {
		case <-old.Exited():
		case <-time.After(10 * time.Second):
			t.Fatal("the old process does not end")
		}
		if again {
			if got, err := turn(t.Context(), acquire(t, p.s), hosttest.Echo, "new"); err != nil || got != "new" {
				t.Fatalf("turn on the new process: %q, %v", got, err)
			}
			continue
		}
		eventually(t, "it is gone", func() bool { _, ok := p.s.Status("fake"); return !ok && len(p.s.Names()) == 0 })
		if _, err := p.s.Acquire(t.Context(), "fake"); !errors.As(err, &e) || e.State != "" {
			t.Fatalf("acquire: %v", err)
		}
	}
}

// load runs 200 turns a second until during returns, and reports those that fail.
func load(t *testing.T, s *supervisor.Supervisor, during func()) {
	t.Helper()
	const interval = time.Second / 200
	var turns sync.WaitGroup
	var failed atomic.Int64
	one := func() {
		l, err := s.Acquire(t.Context(), "fake")
		if err == nil {
			defer l.Release()
			var got string
			if got, err = turn(t.Context(), l, hosttest.Echo, "load"); err == nil && got != "load" {
				err = errors.New("answered " + got)
			}
		}
		if err != nil && failed.Add(1) <= 5 {
			t.Errorf("a turn failed: %v", err)
		}
	}
	done := make(chan struct{})
	turns.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		began, n := time.Now(), 0
		for {
			select {
			case <-ticker.C:
				for ; n < int(time.Since(began)/interval); n++ { // also those whose tick was missed
					turns.Go(one)
				}
			case <-done:
				t.Logf("%d turns", n)
				return
			}
		}
	})
	defer turns.Wait()
	defer close(done)
	during()
}

// TestReplaceUnderLoad replaces the program again and again under 200 turns a
// second: none fails, each process that was replaced ends.
func TestReplaceUnderLoad(t *testing.T) {
	p := runDir(t, nil, one)
	busy := acquire(t, p.s) // outlasts them all
	load(t, p.s, func() {
		for range 8 {
			before := status(t, p.s)
			one(p)
			p.update()
			after := p.replaced(before)
			if after.SHA256 == before.SHA256 || after.SHA256 != p.scan()[0].SHA256 {
				t.Errorf("the hash is %s, it was %s", after.SHA256, before.SHA256)
			}
			eventually(t, "the old process has ended", func() bool { return dead(before.PID) || before.Generation == busy.Generation() })
		}
		if got, err := turn(t.Context(), busy, hosttest.Echo, "old"); err != nil || got != "old" {
			t.Errorf("turn on the first process: %q, %v", got, err)
		}
		busy.Release()
		select {
		case <-busy.Exited():
		case <-time.After(10 * time.Second):
			t.Error("the first process does not end")
		}
	})
}

// TestBrokenReplacement shows that a program that does not work replaces nothing:
// the old process serves, the reason is shown, and it is not tried again before
// the file changes.
func TestBrokenReplacement(t *testing.T) {
	const limit = 300 * time.Millisecond
	for _, tt := range []struct {
		name   string
		script hosttest.Script
		change func(t *testing.T, path string)
		want   string
	}{
		{name: "no program", want: "exec format error; check that it is a program for this system", change: func(t *testing.T, path string) {
			hosttest.Install(t, filepath.Dir(path), "fake", []byte("\x7fELF and nothing more"))
		}},
		{name: "empty", want: "exec format error", change: func(t *testing.T, path string) {
			hosttest.Install(t, filepath.Dir(path), "fake", nil)
		}},
		{name: "cut short", want: "it ended (exit status ", change: func(t *testing.T, path string) {
			whole := hosttest.Program(t, hosttest.Script{})
			hosttest.Install(t, filepath.Dir(path), "fake", whole[:bytes.Index(whole, []byte("exec env"))+len("exec en")])
		}},
		{name: "ends at the start", script: hosttest.Script{Start: hosttest.Exit0}, want: "it ended (exit status 0) before its handshake"},
		{name: "wrong version", script: hosttest.Script{Start: hosttest.WrongVersion}, want: `protocol version "7", this clinvk speaks 1`},
		{name: "hangs", script: hosttest.Script{Start: hosttest.Hang}, want: "did not print its handshake in time"},
		{name: "Describe hangs", script: hosttest.Script{Answer: hosttest.HangDescribe}, want: "Describe: no answer within 300ms"},
		{name: "another's name", script: hosttest.Script{Name: "other"}, want: `calls itself "other"`},
		{name: "refuses its settings", script: hosttest.Script{Answer: hosttest.FailConfigure}, want: "/colour: unknown colour"},
		{name: "would not serve", script: hosttest.Script{Answer: hosttest.NotInstalled}, want: "Health: the CLI is not installed; npm install fake"},
		{name: "writable by everybody", want: "can be written by everybody (mode 0777); run: chmod go-w", change: func(t *testing.T, path string) {
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "bad manifest", want: "schema_version is 9", change: func(t *testing.T, path string) {
			if err := os.WriteFile(path+".json", []byte(`{"schema_version":9}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := runDir(t, func(c *supervisor.Config) {
				if tt.script.Start == hosttest.Hang {
					c.Timings.Handshake = 2 * time.Second
				}
				if tt.script.Answer == hosttest.HangDescribe {
					c.Timings.Describe = limit
				}
			}, one)
			before := status(t, p.s)
			starts := filepath.Join(t.TempDir(), "starts")
			load(t, p.s, func() {
				if tt.change != nil {
					tt.change(t, before.Path)
				} else {
					tt.script.Starts, tt.script.FaultyStarts = starts, 100
					p.install("fake", tt.script)
				}
				p.update()
				eventually(t, "the reason is shown", func() bool { return status(t, p.s).UpdateError != "" })
				st := status(t, p.s)
				if !strings.Contains(st.UpdateError, tt.want) {
					t.Errorf("reason %q, want %q in it", st.UpdateError, tt.want)
				}
				if st.PID != before.PID || st.State != supervisor.StateReady || st.SHA256 != before.SHA256 || st.Restarts != 0 {
					t.Errorf("status: %+v", st)
				}
				for range 3 {
					p.update()
				}
			})
			if count, err := os.ReadFile(starts); err == nil && len(count) != 1 {
				t.Errorf("it was started %d times", len(count))
			}
			if st := status(t, p.s); st.PID != before.PID || st.UpdateError == "" {
				t.Errorf("status: %+v", st)
			}
			if err := os.RemoveAll(before.Path + ".json"); err != nil {
				t.Fatal(err)
			}
			one(p)
			p.update()
			p.replaced(before)
		})
	}
}

// TestUpdateTakenBack shows that a change that is undone leaves nothing to tell.
func TestUpdateTakenBack(t *testing.T) {
	p := runDir(t, nil, one)
	before := status(t, p.s)
	for range 2 { // what was broken before may be so again
		if err := os.Chmod(before.Path, 0o777); err != nil {
			t.Fatal(err)
		}
		p.update()
		eventually(t, "the reason is shown", func() bool { return status(t, p.s).UpdateError != "" })
		if err := os.Chmod(before.Path, 0o755); err != nil {
			t.Fatal(err)
		}
		p.update()
		eventually(t, "there is nothing to tell", func() bool { return status(t, p.s).UpdateError == "" })
	}
	if st := status(t, p.s); st.PID != before.PID {
		t.Errorf("status: %+v", st)
	}
}

// TestUpdateEndsQuarantine shows that a plugin that was given up is started again
// when its file has changed, and at once, whatever it waited for.
func TestUpdateEndsQuarantine(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start hosttest.Fault
		state supervisor.State
	}{
		{"permanent", hosttest.WrongVersion, supervisor.StateQuarantined},
		{"waiting", hosttest.Exit0, supervisor.StateBackoff},
	} {
		t.Run(tt.name, func(t *testing.T) {
			starts := filepath.Join(t.TempDir(), "starts")
			p := runDir(t, func(c *supervisor.Config) { c.Timings.Backoff = time.Hour }, func(p *plugins) {
				p.install("fake", hosttest.Script{Start: tt.start, Starts: starts, FaultyStarts: 100})
			})
			eventually(t, "it is given up", func() bool {
				st := status(t, p.s)
				return st.State == tt.state && (tt.state != supervisor.StateBackoff || time.Until(st.NextStart) > 30*time.Second)
			})
			before, err := os.ReadFile(starts)
			if err != nil {
				t.Fatal(err)
			}
			p.update() // nothing has changed
			given := status(t, p.s)
			one(p)
			p.update()
			p.replaced(given)
			if after, err := os.ReadFile(starts); err != nil || len(after) != len(before) {
				t.Errorf("the old program was started %d times, then %d: %v", len(before), len(after), err)
			}
			if st := status(t, p.s); st.LastError != "" || st.Remedy != "" {
				t.Errorf("status: %+v", st)
			}
		})
	}
}

// TestCrashWithBrokenReplacement shows that the old program cannot come back: when
// its process dies, what is on disk counts.
func TestCrashWithBrokenReplacement(t *testing.T) {
	p := runDir(t, func(c *supervisor.Config) { c.Timings.Acquire = time.Millisecond }, one)
	before := status(t, p.s)
	p.install("fake", hosttest.Script{Start: hosttest.WrongVersion})
	p.update()
	eventually(t, "the reason is shown", func() bool { return status(t, p.s).UpdateError != "" })
	kill(t, before.PID)
	eventually(t, "it is given up", func() bool { return status(t, p.s).State == supervisor.StateQuarantined })
	if st := status(t, p.s); st.UpdateError != "" || !strings.Contains(st.LastError, `protocol version "7"`) {
		t.Errorf("status: %+v", st)
	}
	one(p)
	p.update()
	p.replaced(before)
}

// TestCrashInReplacement shows that a process that dies while its successor is being
// started is missed at once, and that who asked for the restart gets an answer, also
// when that was one crash too many.
func TestCrashInReplacement(t *testing.T) {
	for _, crashes := range []int{0, 4} {
		t.Run(fmt.Sprintf("after %d crashes", crashes), func(t *testing.T) { crashInReplacement(t, crashes) })
	}
}

func crashInReplacement(t *testing.T, crashes int) {
	starts := filepath.Join(t.TempDir(), "starts")
	p := runDir(t, func(c *supervisor.Config) { c.Timings.Handshake = time.Minute }, one)
	before := status(t, p.s)
	for range crashes {
		kill(t, before.PID)
		p.replaced(before)
		before = status(t, p.s)
	}
	p.install("fake", hosttest.Script{Start: hosttest.Hang, Starts: starts, FaultyStarts: 1})
	result := make(chan error, 1)
	go func() { result <- p.s.Restart(t.Context(), "fake") }()
	eventually(t, "the new process hangs", func() bool { _, err := os.Stat(starts); return err == nil })
	kill(t, before.PID)
	p.replaced(before)
	select {
	case err := <-result:
		if err != nil {
			t.Errorf("restart: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the restart goes on")
	}
}

// TestFileBeingWritten shows that a program that somebody has open for writing is
// waited for.
func TestFileBeingWritten(t *testing.T) {
	p := runDir(t, nil, one)
	before := status(t, p.s)
	one(p)
	f, err := os.OpenFile(before.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.update()
	never := time.After(500 * time.Millisecond) // several tries
	eventually(t, "it is waited for", func() bool {
		select {
		case <-never:
			return true
		default:
			return status(t, p.s).PID != before.PID
		}
	})
	if st := status(t, p.s); st.PID != before.PID || st.UpdateError != "" {
		t.Fatalf("status: %+v", st)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.replaced(before)
}

// TestUpdateWhileStopping shows that a stop is not delayed by a change, and that
// none comes after it.
func TestUpdateWhileStopping(t *testing.T) {
	p := runDir(t, func(c *supervisor.Config) { c.Timings.Handshake = time.Hour }, one)
	starts := filepath.Join(t.TempDir(), "starts")
	p.install("fake", hosttest.Script{Start: hosttest.Hang, Starts: starts, FaultyStarts: 100})
	p.install("second", hosttest.Script{Start: hosttest.Hang})
	p.update()
	eventually(t, "the new process hangs", func() bool { _, err := os.Stat(starts); return err == nil })
	if took := stop(t, p.s, time.Minute); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	if err := p.s.Update(p.scan()); err == nil {
		t.Error("updated after the stop")
	}
}

func TestUpdateBeforeStart(t *testing.T) {
	p := &plugins{t: t, dir: t.TempDir()}
	if err := os.Chmod(p.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.install("gone", hosttest.Script{})
	s, err := supervisor.New(supervisor.Config{Entries: p.scan(), StateDir: t.TempDir(), RuntimeDir: hosttest.RuntimeDir(t), Timings: quick()})
	if err != nil {
		t.Fatal(err)
	}
	p.s = s
	defer stop(t, s, 5*time.Second)
	if err := os.Remove(filepath.Join(p.dir, "clinvk-backend-gone")); err != nil {
		t.Fatal(err)
	}
	one(p)
	p.update()
	if err := s.Update([]catalog.Entry{{Name: "a"}, {Name: "a"}}); err == nil {
		t.Error("a name twice is no error")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if st := s.Statuses(); len(st) != 1 || st[0].Name != "fake" || st[0].State != supervisor.StateReady {
		t.Errorf("statuses: %+v", st)
	}
}

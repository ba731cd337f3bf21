//go:build linux

package isolation_test

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/hosttest"
)

// turnFault is a turn that goes wrong in the plugin.
type turnFault struct {
	kind string
	// message is in the failure's; empty: the turn works.
	message string
	// exit is the status of the plugin that ended; -1: a signal; 0: it lives.
	exit int
	// stderr is in what REST tells of the plugin's last lines.
	stderr string
	// slow faults are not tried in all dialects.
	slow bool
}

const canary = "canary-that-nobody-may-see"

var turnFaults = []turnFault{
	{kind: hosttest.PanicHandler, message: "exit status 2", exit: 2, stderr: "panic: in the handler"},
	{kind: hosttest.PanicElsewhere, message: "exit status 2", exit: 2, stderr: "panic: in a goroutine"},
	{kind: hosttest.ExitNow, message: "exit status 3", exit: 3},
	{kind: hosttest.Segfault, message: "exit status 2", exit: 2, stderr: "SIGSEGV"},
	{kind: hosttest.ExitEarly, message: "exit status 6", exit: 6},
	{kind: hosttest.LeakSecret, message: "exit status 5", exit: 5, stderr: "the key is [redacted]"},
	{kind: hosttest.BadRecord},
	{kind: hosttest.FloodStderr, slow: true},
	{kind: hosttest.FloodStdout},
	{kind: hosttest.FloodStdio},
	{kind: hosttest.HugeAnswer, message: "received message larger than max", slow: true},
	{kind: hosttest.NoEnd, message: "ended without completed or failed"},
	{kind: hosttest.EndTwice},
	{kind: hosttest.AfterEnd},
	{kind: hosttest.Gap, message: "event 3 has sequence 4"},
	{kind: hosttest.BadUTF8, message: "invalid UTF-8"},
	{kind: hosttest.HugeFailure, message: "wrong wrong", stderr: "stderr stderr"},
	{kind: hosttest.HugeStatus, message: "the plugin of backend faulty failed"},
	{kind: hosttest.EndlessCall, message: "the arguments of its calls are larger than 2 MiB"},
}

// TestFaultyTurn shows, for every way in which a turn can go wrong, that the
// client gets a typed error in its dialect's shape and the backend serves on, and
// that nobody else notices.
func TestFaultyTurn(t *testing.T) {
	w := newWorld(t, func(c *host.Config) {
		c.Settings.Backends = map[string]config.Backend{faulty: {Env: map[string]string{"FAULTY_TOKEN": canary}}}
	}, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, f := range turnFaults {
		t.Run(f.kind, func(t *testing.T) {
			cheaply(t, func(t *testing.T) costs { return f.run(t, w) })
		})
	}
}

// TestStoppedPlugin shows the same of a process that is stopped: only the polls find
// that.
func TestStoppedPlugin(t *testing.T) {
	w := newWorld(t, func(c *host.Config) {
		c.Timings.HealthEvery, c.Timings.HealthDeadline, c.Timings.Health = 100*time.Millisecond, 500*time.Millisecond, 2*time.Second
	}, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	stop := turnFault{kind: hosttest.StopSelf, message: "signal: killed", exit: -1, slow: true}
	cheaply(t, func(t *testing.T) costs { return stop.run(t, w) })
}

func (f turnFault) run(t *testing.T, w *world) costs {
	w.recovers(t, faulty)
	before := w.backend(t, faulty)
	m := w.watch(t)
	dialects := []dialect{restWhole, restStream, openaiWhole, openaiStream, anthropicWhole, anthropicStream}
	if f.slow {
		dialects = []dialect{restWhole, anthropicStream}
	}
	for _, d := range dialects {
		others := make(chan outcome, 1)
		go func() { // a turn of the healthy backend at the same time
			o, err := w.turn(context.Background(), openaiStream, healthy, hosttest.Echo, "undisturbed")
			if err != nil {
				o = outcome{failure: &failure{message: err.Error()}}
			}
			others <- o
		}()
		began := time.Now()
		f.check(t, d, w.must(t, d, faulty, f.kind, "still here"))
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s turn: took %v", d.name, took)
		}
		if o := <-others; o.failure != nil || o.text != "undisturbed" {
			t.Errorf("the healthy backend: %v", o)
		}
		if f.exit != 0 {
			w.recovers(t, faulty)
		} else {
			w.answers(t, faulty)
		}
	}
	c := m.end(t)
	after := w.backend(t, faulty)
	if died := after.PID != before.PID; died != (f.exit != 0) {
		t.Errorf("the process: before %+v, after %+v", before, after)
	}
	return c
}

func (f turnFault) check(t *testing.T, d dialect, o outcome) {
	t.Helper()
	if f.message == "" {
		if o.failure != nil || o.text != "still here" {
			t.Errorf("%s turn: %v, want an answer", d.name, o)
		}
		return
	}
	if o.failure == nil || !strings.Contains(o.failure.message, f.message) {
		t.Fatalf("%s turn: %v, want a failure with %q", d.name, o, f.message)
	}
	if !o.inStream && o.status != http.StatusBadGateway {
		t.Errorf("%s turn: %v, want 502", d.name, o)
	}
	want := map[string]string{restWhole.path: "backend_failure", openaiWhole.path: "backend_failure", anthropicWhole.path: "api_error"}[d.path]
	if o.failure.kind != want {
		t.Errorf("%s turn: %v, want %s", d.name, o, want)
	}
	if strings.Contains(o.String(), canary) {
		t.Errorf("%s turn: a secret is shown: %v", d.name, o)
	}
	const textMost = 16 << 10 // what people read
	if n := max(len(o.failure.message), len(o.failure.stderrTail)); n > textMost {
		t.Errorf("%s turn: an error text of %d bytes", d.name, n)
	}
	if d.path != restWhole.path { // the other dialects have no place for these
		return
	}
	if f.exit == 0 != (o.failure.exitCode == nil) || f.exit != 0 && *o.failure.exitCode != f.exit {
		t.Errorf("%s turn: %v, want exit %d", d.name, o, f.exit)
	}
	if !strings.Contains(o.failure.stderrTail, f.stderr) {
		t.Errorf("%s turn: %v, want %q in stderr", d.name, o, f.stderr)
	}
}

// TestDeadlines shows that a plugin that never ends a turn, or ignores that it was
// cancelled, ends neither the client's wait nor the backend's service.
func TestDeadlines(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	var turns sync.WaitGroup
	for kind, d := range map[string]dialect{hosttest.Block: restWhole, hosttest.IgnoreCancel: restStream} {
		turns.Go(func() {
			body := d.body(faulty, kind, "do not end")
			body["timeout_secs"] = 0.1
			began := time.Now()
			resp, err := w.open(t.Context(), d, body)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			o, err := d.read(resp)
			if err != nil || o.failure == nil || o.failure.kind != "timeout" || o.status != http.StatusGatewayTimeout {
				t.Errorf("%s: %v, %v, want 504", kind, o, err)
			}
			// The limit of the turn and ten seconds for the plugin to say so itself.
			if took := time.Since(began); took < 10*time.Second || took > time.Minute {
				t.Errorf("%s: took %v", kind, took)
			}
		})
	}
	eventually(t, "both turns run", func() bool { return w.backend(t, faulty).Running == 2 })
	w.answers(t, faulty)
	w.answers(t, healthy)
	turns.Wait()
	w.answers(t, faulty)
	if b := w.backend(t, faulty); b.Running != 0 || b.Restarts != 0 {
		t.Errorf("backend: %+v, want no turn and no restart", b)
	}
}

// TestClientGoes shows that the end of a request ends its turn in the plugin, or at
// least in the host when the plugin does not care.
func TestClientGoes(t *testing.T) {
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
	w.settled(t)
	for _, kind := range []string{hosttest.Block, hosttest.IgnoreCancel, hosttest.Endless} {
		t.Run(kind, func(t *testing.T) {
			for _, d := range []dialect{restWhole, openaiStream} {
				if kind == hosttest.Endless && !d.stream {
					continue // it fails by itself
				}
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					for ctx.Err() == nil && w.backend(t, faulty).Running == 0 {
						time.Sleep(time.Millisecond) // until the turn runs, then:
					}
					cancel()
				}()
				if o, err := w.turn(ctx, d, faulty, kind, "go on"); err == nil {
					t.Errorf("%s turn: %v, want none", d.name, o)
				}
				cancel()
				eventually(t, "the turn is over", func() bool { return w.backend(t, faulty).Running == 0 })
				w.answers(t, faulty)
			}
		})
	}
}

// TestDescendants shows that what a plugin leaves behind dies with it, also when it
// has left the process group, or holds the plugin's stderr.
func TestDescendants(t *testing.T) {
	for _, kind := range []string{hosttest.Daemon, hosttest.HoldStderr} {
		for _, how := range []string{"crash", "stop"} {
			t.Run(kind+", "+how, func(t *testing.T) {
				cheaply(t, func(t *testing.T) costs {
					w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain))
					w.settled(t)
					m := w.watch(t)
					o := w.must(t, restWhole, faulty, kind, "leave something")
					pid, err := strconv.Atoi(o.text)
					if err != nil || !alive(pid) {
						t.Fatalf("the descendant %v does not run", o)
					}
					if how == "crash" {
						killExactly(t, w.backend(t, faulty).PID)
						w.recovers(t, faulty)
					}
					c := m.end(t)
					if how == "stop" {
						w.stop()
					}
					eventually(t, "the descendant is gone", func() bool { return !alive(pid) })
					return c
				})
			})
		}
	}
}

// TestStopsDeaf shows that a host ends in time although a plugin ignores its end:
// the RPC, SIGTERM and the end of its stdin.
func TestStopsDeaf(t *testing.T) {
	w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty, Start: hosttest.IgnoreShutdown}, hosttest.Plain))
	w.settled(t)
	pid := w.backend(t, faulty).PID
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.answers(t, faulty) // it has indeed ignored that
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 30*time.Second { // a second of it is Timings.Shutdown
		t.Errorf("took %v", took)
	}
	if alive(pid) {
		t.Error("the plugin lives")
	}
}

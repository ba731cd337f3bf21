//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// hotRate is how many requests a second run while plugins are changed.
const hotRate = 200

// workshop is a server with one plugin, whose binary is changed under it.
type workshop struct {
	t      *testing.T
	server *harness.Server
	path   string // of the plugin
	binary []byte // a good one
	builds int
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{t: t}
	base, err := os.MkdirTemp("", "clinvk-test-hot-") // t.TempDir is writable by the group, with some umasks
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	// No other plugins are beside this copy of the server.
	program, dir := filepath.Join(base, "bin"), filepath.Join(base, "plugins")
	for _, d := range []string{program, dir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(bin, "clinvk"), filepath.Join(program, "clinvk")); err != nil {
		t.Fatal(err)
	}
	if w.binary, err = os.ReadFile(filepath.Join(bin, "clinvk-backend-echo")); err != nil {
		t.Fatal(err)
	}
	w.path = filepath.Join(dir, "clinvk-backend-echo")
	w.rename(w.build())
	w.server, err = harness.Start(harness.Options{Bin: program, PluginDir: dir, Config: "limits: {max_concurrent: 100, max_queue: 5000}\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(w.server.Log(), 8000))
		}
	})
	return w
}

// build makes a binary that differs from those before: what follows a program in
// its file does not matter to it.
func (w *workshop) build() []byte {
	w.builds++
	return fmt.Appendf(bytes.Clone(w.binary), "\nbuild %d\n", w.builds)
}

func (w *workshop) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// rename puts a binary in place in one step.
func (w *workshop) rename(binary []byte) {
	w.t.Helper()
	w.must(os.WriteFile(w.path+".new", binary, 0o700))
	w.must(os.Rename(w.path+".new", w.path))
}

func (w *workshop) backend() harness.Backend {
	w.t.Helper()
	b, err := w.server.Backend(w.t.Context(), "echo")
	w.must(err)
	return b
}

func (w *workshop) runs(pid int) bool {
	for _, p := range w.server.Processes() {
		if p.PID == pid {
			return true
		}
	}
	return false
}

// load sends chat completions until during returns, and reports those that fail.
func (w *workshop) load(during func()) {
	w.t.Helper()
	const interval = time.Second / hotRate
	var requests sync.WaitGroup
	var failed atomic.Int64
	one := func(i int) {
		text := fmt.Sprintf("request %d", i)
		r, err := openaiChat.do(w.t.Context(), w.server.URL, ask{model: "echo", history: prompt(text), stream: i%2 == 0})
		if (err != nil || r.err != nil || r.text != text) && failed.Add(1) <= 5 {
			w.t.Errorf("request %d failed: %v %+v", i, err, r)
		}
	}
	done := make(chan struct{})
	requests.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		began, n := time.Now(), 0
		for {
			select {
			case <-ticker.C:
				for ; n < int(time.Since(began)/interval); n++ { // also those whose tick was missed
					i := n
					requests.Go(func() { one(i) })
				}
			case <-done:
				w.t.Logf("%d requests, %d failed", n, failed.Load())
				return
			}
		}
	})
	defer requests.Wait()
	defer close(done)
	during()
}

// TestReplaceUnderLoad replaces the plugin's binary under load in the ways that
// people do: no request fails and the old process is gone after its turns.
func TestReplaceUnderLoad(t *testing.T) {
	w := newWorkshop(t)
	w.load(func() {
		for _, way := range []struct {
			name string
			do   func(binary []byte)
		}{
			{"rename", w.rename},
			{"cp and mv", func(binary []byte) {
				source := filepath.Join(t.TempDir(), "built")
				w.must(os.WriteFile(source, binary, 0o700))
				w.must(exec.Command("cp", source, w.path+".tmp").Run())
				w.must(exec.Command("mv", w.path+".tmp", w.path).Run())
			}},
			{"removed, then written bit by bit", func(binary []byte) {
				w.must(os.Remove(w.path))
				f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY, 0o700)
				w.must(err)
				defer f.Close()
				const steps = 10
				for i := range steps {
					_, err := f.Write(binary[len(binary)*i/steps : len(binary)*(i+1)/steps])
					w.must(err)
					time.Sleep(100 * time.Millisecond) // a slow disk
				}
			}},
		} {
			before := w.backend()
			way.do(w.build())
			after, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return b.PID != before.PID })
			if err != nil || !after.Available || after.UpdateError != "" {
				t.Fatalf("%s: %+v %v", way.name, after, err)
			}
			wait(t, "the end of the old process", func() bool { return !w.runs(before.PID) })
			if !w.runs(after.PID) {
				t.Errorf("%s: the new process does not run", way.name)
			}
		}
	})
}

// TestBrokenReplacementUnderLoad puts binaries in place that do not work: no
// request fails, the old process serves, and the reason is shown.
func TestBrokenReplacementUnderLoad(t *testing.T) {
	w := newWorkshop(t)
	before := w.backend()
	w.load(func() {
		for _, broken := range []struct {
			name, reason string
			do           func()
		}{
			{"no program", "exec format error", func() { w.rename([]byte("\x7fELF, almost")) }},
			{"half a program", "starting the process: ", func() { w.rename(w.binary[:len(w.binary)/2]) }},
			{"ends at the start", "before its handshake", func() { w.rename([]byte("#!/bin/sh\necho no configuration >&2\nexit 7\n")) }},
			{"no plugin", "instead of its handshake", func() { w.rename([]byte("#!/bin/sh\nexec echo hello\n")) }},
			{"not executable", "chmod u+x", func() {
				w.rename(w.build())
				w.must(os.Chmod(w.path, 0o600))
			}},
			{"writable by everybody", "chmod go-w", func() { w.must(os.Chmod(w.path, 0o777)) }},
		} {
			broken.do()
			b, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return strings.Contains(b.UpdateError, broken.reason) })
			if err != nil || b.PID != before.PID || !b.Available {
				t.Fatalf("%s: %+v %v", broken.name, b, err)
			}
			wait(t, "the log to tell of: "+broken.name, func() bool { return strings.Contains(w.server.Log(), broken.reason) })
		}
		w.rename(w.build())
		b, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return b.PID != before.PID })
		if err != nil || b.UpdateError != "" {
			t.Fatalf("mended: %+v %v", b, err)
		}
	})
}

// TestRemoveAndAdd takes the plugin away in the middle of a turn, and puts one in
// its place that is not what it is named for, and then itself.
func TestRemoveAndAdd(t *testing.T) {
	w := newWorkshop(t)
	before := w.backend()
	began, answer := make(chan struct{}), make(chan *reply, 1)
	go func() {
		r, err := openaiChat.do(t.Context(), w.server.URL, ask{
			model: "echo/slow", history: prompt("one two three four five six"), stream: true, onDelta: func() { close(began) },
		})
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	<-began
	w.must(os.Remove(w.path))
	if _, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return b.State == "draining" || b.Name == "" }); err != nil {
		t.Fatal(err)
	}
	if r := <-answer; r == nil || r.err != nil || r.text != "one two three four five six" {
		t.Errorf("the turn did not end well: %+v", r)
	}
	wait(t, "the end of the process", func() bool { return !w.runs(before.PID) })
	wait(t, "the end of the backend", func() bool { return w.backend().Name == "" })
	r, err := openaiChat.do(t.Context(), w.server.URL, ask{model: "echo", history: prompt("x")})
	if err != nil || r.status != 404 || r.err == nil {
		t.Errorf("after the removal: %v %+v", err, r)
	}
	liar := w.path + "2"
	w.must(os.WriteFile(liar, w.binary, 0o700))
	b, err := w.server.WaitBackend(t.Context(), "echo2", func(b harness.Backend) bool { return b.State == "quarantined" })
	if err != nil || b.Available || !strings.Contains(b.LastError, `calls itself "echo"`) {
		t.Errorf("another's name: %+v %v", b, err)
	}
	w.must(os.Rename(liar, w.path))
	if _, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return b.Available }); err != nil {
		t.Fatal(err)
	}
	if r, err := openaiChat.do(t.Context(), w.server.URL, ask{model: "echo", history: prompt("again")}); err != nil || r.text != "again" {
		t.Errorf("after the return: %v %+v", err, r)
	}
	wait(t, "the end of the other name", func() bool {
		b, err := w.server.Backend(t.Context(), "echo2")
		return err == nil && b.Name == ""
	})
}

// TestHangup shows that SIGHUP makes the server look, and does not end it.
func TestHangup(t *testing.T) {
	w := newWorkshop(t)
	w.must(syscall.Kill(w.server.PID(), syscall.SIGHUP))
	wait(t, "the look", func() bool { return strings.Contains(w.server.Log(), "looking for plugins") })
	if b := w.backend(); !b.Available {
		t.Errorf("backend: %+v", b)
	}
}

//go:build linux

package isolation_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

// binaries is the directory of the built server and the echo plugin; empty until
// they are needed.
var binaries struct {
	once sync.Once
	dir  string
	err  error
}

// built builds them once and returns the directory.
func built(t testing.TB) string {
	t.Helper()
	binaries.once.Do(func() {
		if binaries.dir, binaries.err = os.MkdirTemp("", "clinvk-isolation-"); binaries.err == nil {
			binaries.err = harness.Build(binaries.dir, "echo")
		}
	})
	if binaries.err != nil {
		t.Fatal(binaries.err)
	}
	return binaries.dir
}

// TestServerMemory holds the built server, as it is shipped and seen from outside,
// to the bounds while a plugin floods it: the resident set of the process at its
// worst moment, and /health.
func TestServerMemory(t *testing.T) {
	bin := built(t)
	entry := hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain)
	s, err := harness.Start(harness.Options{Bin: bin, PluginDir: filepath.Dir(entry.Path), Args: []string{"--insecure-plugin-dir"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{url: s.URL, client: &http.Client{Transport: &http.Transport{}}}
	defer w.client.CloseIdleConnections()
	for _, tt := range []struct {
		kind string
		d    dialect
	}{
		{hosttest.BadRecord, restWhole},
		{hosttest.FloodStderr, restWhole},
		{hosttest.FloodStdout, restWhole},
		{hosttest.FloodStdio, restWhole},
		{hosttest.HugeAnswer, restWhole},
		{hosttest.HugeAnswer, openaiStream},
		{hosttest.Endless, anthropicWhole},
		{hosttest.ManyEvents, openaiStream},
		{hosttest.EndlessCall, openaiStream},
		{hosttest.EndlessCall, anthropicWhole},
		{hosttest.HugeFailure, restWhole},
		{hosttest.HugeStatus, restStream},
	} {
		t.Run(tt.kind+", "+tt.d.name, func(t *testing.T) {
			cheaply(t, func(t *testing.T) costs {
				before := resident(t, s.PID(), "VmRSS")
				// 5 resets the high-water mark.
				if err := os.WriteFile(proc(s.PID(), "clear_refs"), []byte("5"), 0); err != nil {
					t.Fatal(err)
				}
				m := w.watch(t)
				resp, err := w.open(t.Context(), tt.d, tt.d.body(faulty, tt.kind, strconv.Itoa(many)))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatal(err)
				}
				if o := w.must(t, restWhole, "echo", "echo", "undisturbed"); o.text != "undisturbed" {
					t.Errorf("the healthy backend: %v", o)
				}
				c := m.end(t)
				c.growth = resident(t, s.PID(), "VmHWM") - before
				return c
			})
		})
	}
}

func proc(pid int, file string) string { return filepath.Join("/proc", strconv.Itoa(pid), file) }

// resident reads a field of /proc/PID/status, in bytes.
func resident(t testing.TB, pid int, field string) int64 {
	t.Helper()
	status, err := os.ReadFile(proc(pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("there is no %s", field)
	return 0
}

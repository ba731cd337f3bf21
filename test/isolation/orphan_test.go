//go:build linux

package isolation_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

// orphanTime is how long after the death of a host something of it may be left.
const orphanTime = 2 * time.Second

// TestKilledHost kills the built server again and again, under load and with
// descendants of its plugins in sessions of their own: two seconds later there is
// no process, no socket and no temporary directory of it.
func TestKilledHost(t *testing.T) {
	t.Parallel() // it mostly waits
	bin := built(t)
	entry := hosttest.Entry(t, hosttest.Script{Name: faulty}, hosttest.Plain)
	var worst time.Duration
	rounds := length(5, 200)
	for range rounds {
		worst = max(worst, killHost(t, bin, filepath.Dir(entry.Path)))
		if t.Failed() {
			return
		}
	}
	t.Logf("%d hosts killed; nothing was left after %v at worst", rounds, worst)
}

// killHost does it once and returns when nothing was left.
func killHost(t *testing.T, bin, plugins string) time.Duration {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "ck") // a short path, for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	temp := filepath.Join(base, "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := harness.Start(harness.Options{
		Bin: bin, PluginDir: plugins, Home: base, Args: []string{"--insecure-plugin-dir"}, Env: map[string]string{"TMPDIR": temp},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{url: s.URL, client: &http.Client{Transport: &http.Transport{}}}
	defer w.client.CloseIdleConnections()
	var descendants []int
	for _, kind := range []string{hosttest.Daemon, hosttest.HoldStderr} {
		o := w.must(t, restWhole, faulty, kind, "leave something")
		pid, err := strconv.Atoi(o.text)
		if err != nil || !alive(pid) {
			t.Fatalf("the descendant %v does not run", o)
		}
		descendants = append(descendants, pid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, backend := range []string{"echo/echo", "echo/slow", faulty + "/" + hosttest.Slow, faulty + "/" + hosttest.Block} {
		load.Go(func() {
			name, kind, _ := strings.Cut(backend, "/")
			for ctx.Err() == nil {
				// How these end is no matter here: the server dies under them.
				_, _ = w.turn(ctx, openaiStream, name, kind, "one two three")
			}
		})
	}
	time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // whenever
	if n := len(traces(base)); n < len(descendants)+3 {          // two plugins and the janitor
		t.Errorf("only %d processes: the test does not test", n)
	}
	began := time.Now()
	s.Kill()
	left := leftovers(base, temp)
	for len(left) > 0 && time.Since(began) < orphanTime {
		time.Sleep(2 * time.Millisecond) // what is left is polled for
		left = leftovers(base, temp)
	}
	took := time.Since(began)
	cancel()
	load.Wait()
	if len(left) > 0 {
		t.Errorf("left after %v: %s", took, strings.Join(left, "; "))
	}
	return took
}

// leftovers are the processes, sockets and temporary directories of the host whose
// home this is.
func leftovers(home, temp string) (out []string) {
	for pid, command := range traces(home) {
		out = append(out, fmt.Sprintf("process %d: %s", pid, command))
	}
	for _, dir := range []string{filepath.Join(home, "run", "clinvk"), temp} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			out = append(out, err.Error())
		}
		for _, e := range entries {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// traces are the living processes that know of a home: it is in the environment of
// plugins and all that they start, and in the command of the janitor.
func traces(home string) map[int]string {
	out := map[int]string{}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == syscall.Getpid() {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if (bytes.Contains(env, []byte(home)) || bytes.Contains(command, []byte(home))) && alive(pid) {
			out[pid] = strings.TrimSpace(string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return out
}

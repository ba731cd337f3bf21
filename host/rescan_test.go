//go:build linux

package host

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	"github.com/clinvk/clinvk/test/await"
)

func TestMain(m *testing.M) {
	hosttest.Run()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/host/runner.serveForks"))
}

// newHost makes a host with one plugin directory.
func newHost(t *testing.T, settings config.Config) (h *Host, dir string) {
	t.Helper()
	dir = safeDir(t)
	sockets := hosttest.RuntimeDir(t)
	t.Cleanup(func() { _ = os.Remove(filepath.Join(sockets, "clinvk")) }) // when it is not empty, that is found
	t.Setenv("XDG_RUNTIME_DIR", sockets)
	settings.Home = t.TempDir()
	h, err := New(t.Context(), Config{Settings: &settings, PluginDirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

// safeDir is a directory that others cannot write to, whatever the umask.
func safeDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func install(t *testing.T, dir, name string) string {
	t.Helper()
	return hosttest.Install(t, dir, name, hosttest.Program(t, hosttest.Script{Name: name}))
}

func rescan(t *testing.T, h *Host) {
	t.Helper()
	if err := h.Rescan(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for something that other processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	await.Until(t, 20*time.Second, what, ok)
}

// TestRescan shows that what holds for plugins at the start holds for those that
// come later.
func TestRescan(t *testing.T) {
	off := false
	h, dir := newHost(t, config.Config{
		Plugins: config.Plugins{Allow: []string{"one", "off", "two"}}, Backends: map[string]config.Backend{"off": {Enabled: &off}},
	})
	rescan(t, h) // before the start
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer h.Stop(t.Context())
	for _, name := range []string{"one", "off", "unwanted"} {
		install(t, dir, name)
	}
	rescan(t, h)
	states := func() map[string]supervisor.State {
		states := map[string]supervisor.State{}
		for _, st := range h.supervisor.Statuses() {
			states[st.Name] = st.State
		}
		return states
	}
	eventually(t, "the plugin serves", func() bool { return states()["one"] == supervisor.StateReady })
	if d := cmp.Diff(map[string]supervisor.State{"one": supervisor.StateReady, "off": supervisor.StateDisabled}, states()); d != "" {
		t.Error(d)
	}
	// A directory that cannot be read takes nothing away.
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := h.Rescan(t.Context()); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error: %v", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if states()["one"] != supervisor.StateReady {
		t.Errorf("states: %v", states())
	}
	if err := os.Remove(filepath.Join(dir, "clinvk-backend-one")); err != nil {
		t.Fatal(err)
	}
	rescan(t, h)
	eventually(t, "the plugin is gone", func() bool { _, ok := states()["one"]; return !ok })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	install(t, dir, "two")
	if err := h.Rescan(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

// TestRescanWaits shows that a file that is being written is not taken for what it
// is at the moment.
func TestRescanWaits(t *testing.T) {
	h, dir := newHost(t, config.Config{})
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer h.Stop(t.Context())
	program := hosttest.Program(t, hosttest.Script{Name: "slow"})
	written := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(filepath.Join(dir, "clinvk-backend-slow"), os.O_CREATE|os.O_WRONLY, 0o755)
		for _, b := range program { // takes about a second
			if err == nil {
				_, err = f.Write([]byte{b})
			}
			time.Sleep(time.Second / time.Duration(len(program)))
		}
		written <- errors.Join(err, f.Close())
	}()
	eventually(t, "there is a file", func() bool { _, err := os.Stat(filepath.Join(dir, "clinvk-backend-slow")); return err == nil })
	rescan(t, h)
	select {
	case err := <-written:
		if err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the rescan did not wait for the end of the file")
	}
	eventually(t, "the plugin serves", func() bool { st, _ := h.supervisor.Status("slow"); return st.State == supervisor.StateReady })
	if st, _ := h.supervisor.Status("slow"); st.Restarts != 0 {
		t.Errorf("status: %+v", st)
	}
}

func TestSteady(t *testing.T) {
	e := func(name, hash string) catalog.Entry { return catalog.Entry{Name: name, SHA256: hash} }
	known := []catalog.Entry{e("same", "1"), e("changed", "1"), e("restless", "1"), e("gone", "1"), e("leaving", "1"), e("returning", "1")}
	before := []catalog.Entry{e("same", "1"), e("changed", "2"), e("restless", "2"), e("new", "1"), e("half", "1"), e("leaving", "1")}
	now := []catalog.Entry{e("same", "1"), e("changed", "2"), e("restless", "3"), e("new", "1"), e("half", "2"), e("returning", "2")}
	got := map[string]string{}
	for _, e := range steady(known, before, now) {
		got[e.Name] = e.SHA256
	}
	want := map[string]string{"same": "1", "changed": "2", "restless": "1", "new": "1", "leaving": "1", "returning": "1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestServeWatches shows that a server notices by itself, plugins and approvals,
// and that all of that ends with it.
func TestServeWatches(t *testing.T) {
	h, dir := newHost(t, config.Config{})
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- h.Serve(ctx, ln, func() { close(ready) }) }()
	<-ready
	path := install(t, dir, "one")
	serves := func() bool { st, _ := h.supervisor.Status("one"); return st.State == supervisor.StateReady }
	eventually(t, "the plugin serves", serves)
	replaced := func(what string, change func()) {
		t.Helper()
		before, _ := h.supervisor.Status("one")
		change()
		eventually(t, what, func() bool { st, _ := h.supervisor.Status("one"); return serves() && st.PID != before.PID })
	}
	elsewhere := safeDir(t)
	install(t, elsewhere, "one")
	replaced("a link replaces it", func() {
		if err := os.Symlink(filepath.Join(elsewhere, "clinvk-backend-one"), path+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	})
	// Nobody tells of files behind links: the approval makes the server look.
	replaced("what it links to is replaced and approved", func() {
		install(t, elsewhere, "one")
		if err := os.WriteFile(filepath.Join(h.config.Settings.Home, "plugins.lock"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { _, ok := h.supervisor.Status("one"); return !ok })
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

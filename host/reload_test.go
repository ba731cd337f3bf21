//go:build linux

package host

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/hosttest"
)

// TestReload serves with a file that comes later, is a link, changes behind it, has
// mistakes, and goes.
func TestReload(t *testing.T) {
	dir, home := safeDir(t), t.TempDir()
	install(t, dir, "one")
	sockets(t)
	environ := []string{"CLINVK_HOME=" + home}
	load := func() (*config.Config, error) { return config.Load("", environ) }
	settings, err := load()
	if err != nil {
		t.Fatal(err)
	}
	path, behind := filepath.Join(home, "config.yaml"), filepath.Join(t.TempDir(), "real.yaml")
	h, err := New(t.Context(), Config{Settings: settings, PluginDirs: []string{dir}, Load: load, File: path})
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, h)
	defer stop()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(behind, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	aliases := func() (names string) {
		for _, m := range h.Engine().Models() {
			names += m.ID + " "
		}
		return names
	}
	write("models: {first: {backend: one}}\n")
	if err := os.Symlink(behind, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file", func() bool { return strings.Contains(aliases(), "first ") })
	write("models: {second: {backend: one}}\n")
	eventually(t, "the change behind the link", func() bool { return strings.Contains(aliases(), "second ") })
	write("models: {third: {backend: one, mode: fast}}\n")
	eventually(t, "the reason", func() bool {
		return strings.Contains(h.state.Load().Error, `config.yaml:1:38: models.third.mode is "fast"`)
	})
	write("")
	eventually(t, "the news that it is empty", func() bool { return strings.Contains(h.state.Load().Error, "is empty") })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the news that it is gone", func() bool { return strings.Contains(h.state.Load().Error, "is gone") })
	if names := aliases(); !strings.Contains(names, "second ") || strings.Contains(names, "first ") {
		t.Errorf("the aliases are %s", names)
	}
	w := httptest.NewRecorder()
	h.live.Load().handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/health", nil))
	if body := w.Body.String(); !strings.Contains(body, `"config":{"path":"`+path+`"`) || !strings.Contains(body, "is gone") {
		t.Errorf("health: %s", body)
	}
}

// TestReloadPlugins: other directories of plugins are searched, and watched.
func TestReloadPlugins(t *testing.T) {
	one, two, home := safeDir(t), safeDir(t), t.TempDir()
	install(t, one, "one")
	install(t, two, "two")
	sockets(t)
	path := filepath.Join(home, "config.yaml")
	write := func(dir string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("plugins: {dirs: ["+dir+"]}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one)
	load := func() (*config.Config, error) { return config.Load("", []string{"CLINVK_HOME=" + home}) }
	settings, err := load()
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(t.Context(), Config{Settings: settings, Load: load, File: path})
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(t, h)
	defer stop()
	names := func() string { return strings.Join(h.supervisor.Names(), " ") }
	if names() != "one" {
		t.Fatalf("the plugins are %s", names())
	}
	write(two)
	eventually(t, "the other directory", func() bool { return names() == "two" })
	install(t, two, "three")
	eventually(t, "a new plugin in it", func() bool { return names() == "three two" })
}

// serve serves on a free port until stop is called.
func serve(t *testing.T, h *Host) (stop func()) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- h.Serve(ctx, ln, func() { close(ready) }) }()
	<-ready
	return func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// sockets gives the host a runtime directory that is gone after the test.
func sockets(t *testing.T) {
	t.Helper()
	dir := hosttest.RuntimeDir(t)
	t.Cleanup(func() { _ = os.Remove(filepath.Join(dir, "clinvk")) }) // when it is not empty, that is found
	t.Setenv("XDG_RUNTIME_DIR", dir)
}

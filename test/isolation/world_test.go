//go:build linux

package isolation_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
	"github.com/clinvk/clinvk/test/await"
)

// The backends of a world: faulty is the fake, healthy the one that must not
// notice.
const (
	faulty  = "faulty"
	healthy = "healthy"
)

// quick are timings for tests: long enough for a busy machine, short enough to
// see limits at work. Crashes do not add up to quarantine.
func quick() supervisor.Timings {
	return supervisor.Timings{
		Handshake: time.Minute, Describe: time.Minute, Configure: time.Minute, Health: time.Minute, Models: 5 * time.Second,
		HealthEvery: 10 * time.Second, HealthDeadline: 5 * time.Second, Acquire: 10 * time.Second,
		Backoff: 20 * time.Millisecond, BackoffMost: 20 * time.Millisecond, CrashWindow: time.Nanosecond, Reset: time.Nanosecond,
		Shutdown: time.Second,
	}
}

// world is a host in this process, with its plugins and its HTTP server.
type world struct {
	url    string
	host   *host.Host
	client *http.Client
	ready  chan struct{} // closed when each plugin had its first chance
	stop   func()        // ends it; further calls do nothing
}

// newWorld starts a host with a healthy plugin and these others.
func newWorld(t testing.TB, change func(*host.Config), others ...catalog.Entry) *world {
	t.Helper()
	home := t.TempDir()
	settings, err := config.Load("", []string{"CLINVK_HOME=" + home})
	if err != nil {
		t.Fatal(err)
	}
	c := host.Config{Settings: settings, InsecurePluginDirs: true, Version: "1.0.0", RuntimeDir: hosttest.RuntimeDir(t), Timings: quick()}
	for _, e := range append(others, hosttest.Entry(t, hosttest.Script{Name: healthy}, hosttest.Plain)) {
		c.PluginDirs = append(c.PluginDirs, filepath.Dir(e.Path))
	}
	if os.Getenv("CLINVK_TEST_LOG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if change != nil {
		change(&c)
	}
	w := &world{ready: make(chan struct{}), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}}
	if w.host, err = host.New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- w.host.Serve(ctx, ln, func() { close(w.ready) }) }()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		w.client.CloseIdleConnections()
		cancel()
		if err := <-served; err != nil && ctx.Err() == nil {
			t.Errorf("serving: %v", err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

// settled waits until each plugin had its first chance.
func (w *world) settled(t testing.TB) {
	t.Helper()
	select {
	case <-w.ready:
	case <-time.After(30 * time.Second):
		t.Fatal("the host does not get ready")
	}
}

// backend is what /api/v1/backends says of one.
type backend struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	Available bool   `json:"available"`
	Message   string `json:"message"`
	LastError string `json:"last_error"`
	PID       int    `json:"pid"`
	Restarts  int    `json:"restarts"`
	Running   int    `json:"running"`
}

// backend asks the server.
func (w *world) backend(t testing.TB, name string) backend {
	t.Helper()
	resp, err := w.client.Get(w.url + "/api/v1/backends")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct{ Backends []backend }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	for _, b := range list.Backends {
		if b.Name == name {
			return b
		}
	}
	t.Fatalf("there is no backend %s in %+v", name, list.Backends)
	return backend{}
}

// eventually waits for something that other processes do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	await.Until(t, 20*time.Second, what, ok)
}

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/chaos/hostile"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/supervisor"
	"github.com/clinvk/clinvk/proto/handshake"
)

// stormTimings let a plugin crash as often as it is killed, without quarantine, and
// show soon that a stopped one is noticed: three polls of a second.
var stormTimings = supervisor.Timings{
	HealthEvery: 100 * time.Millisecond, HealthDeadline: time.Second,
	Backoff: 50 * time.Millisecond, BackoffMost: 500 * time.Millisecond,
	Reset: time.Nanosecond, CrashWindow: time.Nanosecond,
}

// quarantineTimings are the real ones but for the waits between two starts.
var quarantineTimings = supervisor.Timings{
	Backoff: 10 * time.Millisecond, BackoffMost: 10 * time.Millisecond,
}

// world is a server of our own, on a port of loopback that nobody else knows.
type world struct {
	host    *host.Host
	url     string
	client  *http.Client
	backend string
	// speaking counts the slow turns of the backend that have begun to answer.
	speaking atomic.Int64
	close    func() error // ends it and waits; further calls return the same
}

// open starts a server with the backend and hostile plugins of these modes.
func (r *run) open(ctx context.Context, timings supervisor.Timings, modes ...hostile.Mode) (*world, error) {
	dir, err := r.hostilePlugins(modes)
	if err != nil {
		return nil, err
	}
	allow := []string{r.config.Backend}
	for _, m := range modes {
		allow = append(allow, m.Name())
	}
	h, err := host.New(ctx, host.Config{
		Settings: &config.Config{
			Home: filepath.Join(r.root, "home"), Plugins: config.Plugins{Allow: allow},
			Limits: config.Limits{MaxConcurrent: r.config.Clients + 1, MaxQueue: r.config.Clients + 1},
		},
		PluginDirs: append([]string{dir}, r.config.PluginDirs...), InsecurePluginDirs: r.config.InsecurePluginDirs,
		Executable: r.config.Executable, Version: r.config.Version, Logger: r.config.Logger,
		RuntimeDir: r.runtimeDir(), Timings: timings,
	})
	if err != nil {
		return nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	w := &world{
		host: h, backend: r.config.Backend, url: "http://" + ln.Addr().String(),
		client: &http.Client{Timeout: turnLimit, Transport: &http.Transport{MaxIdleConnsPerHost: r.config.Clients + 8}},
	}
	serving, stop := context.WithCancel(ctx)
	ready, served := make(chan struct{}), make(chan error, 1)
	go func() { served <- h.Serve(serving, ln, func() { close(ready) }) }()
	w.close = sync.OnceValue(func() error {
		stop()
		w.client.CloseIdleConnections()
		return <-served
	})
	select {
	case <-ready:
	case err := <-served:
		served <- err // for close
	}
	info, err := h.Engine().Backend(r.config.Backend)
	if err == nil && !info.Available() {
		err = fmt.Errorf("backend %s is not ready (%s): %s", info.Name, info.State, info.Message())
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// hostilePlugins makes a plugin directory with a manifest for each mode.
func (r *run) hostilePlugins(modes []hostile.Mode) (string, error) {
	dir := filepath.Join(r.root, "plugins")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a plugin directory: %w", err)
	}
	for _, mode := range modes {
		text, err := json.Marshal(catalog.Manifest{
			SchemaVersion: 1, Name: mode.Name(), Transport: catalog.TransportPlain,
			Command: append(append([]string{}, r.config.Hostile...), string(mode)),
		})
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, handshake.NamePrefix+mode.Name()+".json"), text, 0o600); err != nil {
			return "", fmt.Errorf("writing a manifest: %w", err)
		}
	}
	return dir, nil
}

func (w *world) version(backend string) string {
	info, _ := w.host.Engine().Backend(backend)
	return info.Describe.GetVersion()
}

func (w *world) hasModel(backend, model string) bool {
	info, _ := w.host.Engine().Backend(backend)
	for _, m := range info.Models {
		if m.GetId() == model {
			return true
		}
	}
	return false
}

// until looks until something is so.
func until(ctx context.Context, so func() bool) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lookEvery is how often something is looked at that nobody tells.
const lookEvery = time.Millisecond

// await looks at a backend until it is as wanted.
func (w *world) await(ctx context.Context, backend string, wanted func(engine.BackendInfo) bool) (info engine.BackendInfo, err error) {
	if e := until(ctx, func() bool {
		info, err = w.host.Engine().Backend(backend)
		return err != nil || wanted(info)
	}); e != nil {
		return info, fmt.Errorf("waiting for backend %s, which is %s (%s): %w", backend, info.State, info.LastError, e)
	}
	return info, err
}

// watchEvery is how often /health is asked.
const watchEvery = 20 * time.Millisecond

// watch asks /health again and again, until the function that it returns is called;
// that one tells how long the answers took and the most memory that was seen.
func (w *world) watch(ctx context.Context) func() ([]time.Duration, int64) {
	ctx, cancel := context.WithCancel(ctx)
	var took []time.Duration
	var peak int64
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			began := time.Now()
			if !w.healthy(ctx) {
				if ctx.Err() != nil {
					return
				}
				began = began.Add(-turnLimit) // no answer counts as one that took for ever
			}
			took = append(took, time.Since(began))
			peak = max(peak, rss())
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return func() ([]time.Duration, int64) {
		cancel()
		watching.Wait()
		return took, peak
	}
}

// healthy says that /health was answered, whatever it said.
func (w *world) healthy(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/health", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var health struct {
		Status string `json:"status"`
	}
	return json.NewDecoder(resp.Body).Decode(&health) == nil && health.Status != ""
}

package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/anthropic"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/meta"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/openai/responses"
	"github.com/clinvk/clinvk/host/httpapi/openapi"
	"github.com/clinvk/clinvk/host/httpapi/rest"
	"github.com/clinvk/clinvk/host/runner"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store/sqlite"
	"github.com/clinvk/clinvk/host/supervisor"
)

// Config of a Host.
type Config struct {
	// Settings is the loaded configuration; required.
	Settings *config.Config
	// PluginDirs are searched before all others, as plugins.dirs is.
	PluginDirs []string
	// InsecurePluginDirs switches the permission check of plugins off.
	InsecurePluginDirs bool
	// Executable is the path of the clinvk binary: plugins beside it are searched too.
	Executable string
	// Bundled holds the sha256 of the plugins that came with this clinvk, by name;
	// nil: it was built without, and those beside Executable count as such.
	Bundled map[string]string
	// Version of clinvk.
	Version string
	// APIKeys that clients must send one of; empty: none is needed.
	APIKeys []string
	// AllowIPs admits IP addresses as Host header: for servers on more than loopback.
	AllowIPs bool
	// RuntimeDir is for sockets; empty: the user's own (see supervisor.Config).
	RuntimeDir string
	// CommandLine makes the server listen besides on a Unix socket in its runtime
	// directory, for the command line of the same user, who needs no key there.
	CommandLine bool
	// NoBackends starts no plugin and looks for none: for what needs the store only.
	NoBackends bool
	// Timings of the plugins' lives; zero fields have their documented values. They
	// are no settings: clinvk chaos shortens them to show much in little time.
	Timings supervisor.Timings
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Host is a server with its plugins.
type Host struct {
	config     Config
	log        *slog.Logger
	plugins    *Plugins
	supervisor *supervisor.Supervisor
	engine     *engine.Engine
	handler    *httpapi.Server
	sessions   *session.Keeper
	responses  *responses.Dialect
	store      *sqlite.Store // nil: it could not be opened
	// Refused lists plugins that New found and that must not run, with the reason.
	Refused []catalog.Entry

	rescan  sync.Mutex // held during Rescan; guards entries
	entries []catalog.Entry
}

// New finds the plugins and builds all parts. Nothing is started yet.
func New(ctx context.Context, c Config) (*Host, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := c.Settings
	h := &Host{config: c, log: c.Logger, plugins: NewPlugins(c)}
	scanned, err := h.plugins.Scan(ctx)
	if err != nil {
		return nil, err
	}
	h.entries = h.plugins.Policy.Apply(ctx, scanned)
	for _, e := range h.entries {
		if e.Refused != nil {
			h.Refused = append(h.Refused, e)
		}
	}
	timings := c.Timings
	if timings.Drain <= 0 { // what is replaced or removed finishes its turns, the longest too
		timings.Drain = orDefault(seconds(s.Server.RequestTimeoutSecs), engine.DefaultTimeout)
	}
	if h.supervisor, err = supervisor.New(supervisor.Config{
		Entries: h.entries, Policy: h.plugins.Policy, Settings: h.settings, Logger: c.Logger, HostVersion: c.Version,
		StateDir: filepath.Join(s.Home, "state"), RuntimeDir: c.RuntimeDir, Timings: timings,
	}); err != nil {
		return nil, fmt.Errorf("preparing the plugins: %w", err)
	}
	h.engine = engine.New(engine.Config{
		Backends: backends{h.supervisor}, DefaultBackend: s.DefaultBackend, DefaultModels: models(s.Backends), Aliases: aliases(s.Models),
		Limits: h.limits, Timeout: seconds(s.Server.RequestTimeoutSecs), Logger: c.Logger,
		WorkingDirs: engine.WorkingDirs{Allowed: s.Server.AllowedWorkdirPrefixes, Blocked: s.Server.BlockedWorkdirPrefixes},
	})
	fetcher := media.New(media.Config{Hosts: s.Server.FetchRemoteMedia})
	h.openStore(ctx, fetcher)
	h.handler, err = h.newHandler(fetcher)
	return h, err
}

// openStore opens the store and makes what needs it. A server without does all that
// needs no state.
func (h *Host) openStore(ctx context.Context, m *media.Fetcher) {
	c := responses.Config{Media: m, StrictParams: h.config.Settings.Server.StrictParams, Logger: h.log}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(h.config.Settings.Home, "clinvk.db"), Logger: h.log})
	if err != nil {
		h.log.Error("there is no store: sessions and responses cannot be kept or continued", "error", err)
	} else {
		h.store, c.Store = s, s
	}
	h.sessions = h.newSessions()
	c.Engine = h.turns()
	h.responses = responses.New(c)
}

func (h *Host) newHandler(m *media.Fetcher) (*httpapi.Server, error) {
	document, err := openapi.Document(h.config.Version)
	if err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	server, parallel := h.config.Settings.Server, h.config.Settings.Parallel
	keys := httpapi.NewKeys(h.config.APIKeys)
	return httpapi.NewServer(httpapi.Config{
		Dialects: []httpapi.Dialect{
			rest.New(rest.Config{
				Engine: h.turns(), Sessions: h.sessions, StrictParams: server.StrictParams, MaxParallel: parallel.MaxWorkers, FailFast: parallel.FailFast,
				Media: m,
			}),
			openai.New(openai.Config{Engine: h.turns(), StrictParams: server.StrictParams, Media: m}),
			h.responses,
			anthropic.New(anthropic.Config{Engine: h.turns(), StrictParams: server.StrictParams, Media: m}),
		},
		Fallback: meta.New(meta.Config{Engine: h.engine, Version: h.config.Version, OpenAPI: document, Detailed: keys.Authenticated}),
		Guard: httpapi.Guard{
			AllowedHosts: server.AllowedHosts, AllowIPs: h.config.AllowIPs, AllowedOrigins: server.CORSAllowedOrigins,
			AllowCredentials: server.CORSAllowCredentials, MaxAge: server.CORSMaxAge,
		},
		Keys: keys, MaxBody: server.MaxRequestBodyBytes, WriteTimeout: seconds(server.WriteTimeoutSecs),
		Logger: h.log,
	})
}

// Engine runs turns.
func (h *Host) Engine() *engine.Engine { return h.engine }

// Unmatched tells of backends that the settings name and that no plugin has.
func (h *Host) Unmatched() []string {
	h.rescan.Lock()
	defer h.rescan.Unlock()
	names := make([]string, len(h.entries))
	for i, e := range h.entries {
		names[i] = e.Name
	}
	return h.config.Settings.Unmatched(names)
}

// Restart starts a new process of a backend's plugin and clears its quarantine; it
// returns when that one is ready, or with why it is not.
func (h *Host) Restart(ctx context.Context, backend string) error {
	return h.supervisor.Restart(ctx, backend)
}

// Timings of serving.
const (
	drainTime = 10 * time.Second
	stopTime  = 10 * time.Second
)

// Start starts the plugins. It returns when each had its first chance.
func (h *Host) Start(ctx context.Context) error { return h.supervisor.Start(ctx) }

// Stop ends what runs in the background, the plugins and whatever they left behind.
func (h *Host) Stop(ctx context.Context) error {
	err := errors.Join(h.responses.Stop(ctx), h.supervisor.Stop(ctx))
	if h.store != nil {
		err = errors.Join(err, h.store.Close())
	}
	return err
}

// Serve answers on ln until ctx ends; then it takes no new turns, lets those that
// run finish for ten seconds, and stops the plugins. ready is called when the
// plugins are up. Plugins that come, change or go meanwhile do so in the server, too.
func (h *Host) Serve(ctx context.Context, ln net.Listener, ready func()) error {
	s := h.config.Settings.Server
	server := &http.Server{
		Handler:           h.handler,
		ReadHeaderTimeout: orDefault(seconds(s.ReadTimeoutSecs), 10*time.Second),
		IdleTimeout:       orDefault(seconds(s.IdleTimeoutSecs), 2*time.Minute),
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		ConnContext:       markLocal,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	watcher := h.newWatcher()
	var watch sync.WaitGroup
	watch.Go(func() { watcher.Run(watching, h.filesChanged) })
	watch.Go(func() { h.sessions.Run(watching) })
	startErr := h.Start(ctx)
	if startErr == nil {
		if socket := h.openSocket(ctx); socket != nil {
			go h.serveSocket(server, socket)
		}
		ready()
		select {
		case <-ctx.Done():
		case startErr = <-served:
		}
	}
	endWatch()
	watch.Wait()
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err := h.responses.Stop(clean)
	err = errors.Join(err, h.engine.Drain(clean))
	if err != nil {
		h.log.Warn("stopping with turns under way", "error", err)
	}
	// What still runs is cut off: its answer could not be finished in time.
	_ = server.Close()
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancelStop()
	return errors.Join(startErr, h.Stop(stop))
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// settings of one backend for the supervisor.
func (h *Host) settings(name string) supervisor.Settings {
	b := h.config.Settings.Backends[name]
	s := supervisor.Settings{
		Enabled: b.Enabled == nil || *b.Enabled, Environment: b.Env, Command: b.Command, Warm: -1,
	}
	s.MaxMemory, s.MaxProcesses = walls(h.config.Settings.LimitsOf(name), runner.MachineMemory())
	if b.Warm != nil {
		s.Warm = *b.Warm
	}
	if len(b.Options) > 0 {
		options, err := json.Marshal(b.Options)
		if err != nil { // a YAML map with keys that are no strings
			h.log.Error("options of a backend are no JSON object and were ignored", "backend", name, "error", err)
		}
		s.Config = options
	}
	return s
}

// defaultMaxProcesses is far more than any CLI runs, and far less than what makes a
// machine unusable.
const defaultMaxProcesses = 512

// walls are the limits on memory, in bytes, and processes; 0: none. machine is the
// memory that there is; 0: unknown.
func walls(l config.Limits, machine int64) (memory int64, processes int) {
	switch {
	case l.MaxMemoryMB > 0:
		memory = int64(l.MaxMemoryMB) << 20
	case l.MaxMemoryMB == 0:
		memory = machine / 2
	}
	return memory, max(0, cmp.Or(l.MaxProcesses, defaultMaxProcesses))
}

func (h *Host) limits(backend string) engine.Limits {
	l := h.config.Settings.LimitsOf(backend)
	return engine.Limits{MaxConcurrent: l.MaxConcurrent, MaxQueue: l.MaxQueue, QueueTimeout: seconds(l.QueueTimeoutSecs)}
}

// Executable is the path of the running binary, symlinks resolved; empty when the
// system does not tell.
func Executable() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}

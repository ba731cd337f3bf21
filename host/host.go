package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/anthropic"
	"github.com/clinvk/clinvk/host/httpapi/meta"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/openai/responses"
	"github.com/clinvk/clinvk/host/httpapi/openapi"
	"github.com/clinvk/clinvk/host/httpapi/rest"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store/sqlite"
	"github.com/clinvk/clinvk/host/supervisor"
	"github.com/clinvk/clinvk/host/telemetry"
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
	// Keys loads the API keys that clients must send one of, as the settings have it;
	// none: no key is needed. nil: none is ever. It is called again with each reload.
	Keys func(ctx context.Context, s *config.Config) ([]apikeys.Key, error)
	// Load loads the settings again, for Reload; nil: they stay as they are.
	Load func() (*config.Config, error)
	// File is watched, and its changes lead to Reload; it need not exist. Empty: none.
	File string
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
	live       atomic.Pointer[live] // what the settings make; replaced under rescan
	supervisor *supervisor.Supervisor
	engine     *engine.Engine
	sessions   *session.Keeper
	responses  *responses.Dialect
	store      *sqlite.Store      // nil: it could not be opened
	metrics    *telemetry.Metrics // nil: they are switched off
	counted    sessionCount
	document   func() ([]byte, error) // OpenAPI's
	begin      time.Time
	// Refused lists plugins that New found and that must not run, with the reason.
	Refused []catalog.Entry

	rescan   sync.Mutex // held during Rescan and Reload; guards entries and seen
	entries  []catalog.Entry
	keysFile atomic.Pointer[string] // of the settings that were read last; nil: those that hold
	seen     string                 // what the files of the settings were at the last reload
	state    atomic.Pointer[meta.ConfigState]
}

// New finds the plugins and builds all parts. Nothing is started yet.
func New(ctx context.Context, c Config) (*Host, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := c.Settings
	h := &Host{config: c, log: c.Logger, begin: time.Now()}
	first := &live{settings: s, plugins: NewPlugins(c), loaded: h.begin}
	h.live.Store(first)
	h.state.Store(&meta.ConfigState{Path: s.Path, LoadedAt: h.begin})
	h.seen = h.look()
	keys, err := h.keys(ctx, s)
	if err != nil {
		return nil, err
	}
	scanned, err := first.plugins.Scan(ctx)
	if err != nil {
		return nil, err
	}
	h.entries = first.plugins.Policy.Apply(ctx, scanned)
	for _, e := range h.entries {
		if e.Refused != nil {
			h.Refused = append(h.Refused, e)
		}
	}
	if h.supervisor, err = supervisor.New(supervisor.Config{
		Entries: h.entries, Policy: policy{h}, Settings: func(name string) supervisor.Settings { return h.settings(h.live.Load().settings, name) },
		Logger: c.Logger, HostVersion: c.Version,
		StateDir: filepath.Join(s.Home, "state"), RuntimeDir: c.RuntimeDir, Timings: c.Timings,
	}); err != nil {
		return nil, fmt.Errorf("preparing the plugins: %w", err)
	}
	if s.Server.MetricsEnabled {
		h.metrics = telemetry.New(telemetry.Config{Version: c.Version, Sessions: h.counted.SessionCount})
	}
	h.engine = engine.New(h.engineConfig(s))
	if h.metrics != nil {
		h.metrics.Watch(h.engine)
	}
	h.document = sync.OnceValues(func() ([]byte, error) { return openapi.Document(c.Version) })
	h.openStore(ctx)
	return h, h.build(first, nil, keys)
}

// openStore opens the store and makes what needs it. A server without does all that
// needs no state.
func (h *Host) openStore(ctx context.Context) {
	c := responses.Config{Logger: h.log}
	s, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(h.config.Settings.Home, "clinvk.db"), Logger: h.log})
	if err != nil {
		h.log.Error("there is no store: sessions and responses cannot be kept or continued", "error", err)
	} else {
		h.store, c.Store = s, s
		h.counted.store = s
	}
	h.sessions = h.newSessions()
	h.sessions.Tidy(ctx)
	c.Engine = h.turns()
	h.responses = responses.New(c)
}

// newHandler makes all that answers HTTP, as the settings have it.
func (h *Host) newHandler(l *live, keys *httpapi.Keys) (*httpapi.Server, error) {
	server, parallel, m, turns := l.settings.Server, l.settings.Parallel, l.media, h.turns()
	about := meta.Config{
		Engine: h.engine, Version: h.config.Version, Store: &h.counted, OpenAPI: h.document, Detailed: keys.Authenticated,
		Begin: h.begin, State: h.state.Load,
	}
	var observe httpapi.Observer
	if h.metrics != nil {
		about.Metrics, observe = h.metrics.Handler(), h.metrics.Request
	}
	return httpapi.NewServer(httpapi.Config{
		Dialects: []httpapi.Dialect{
			rest.New(rest.Config{
				Engine: turns, Sessions: h.sessions, StrictParams: server.StrictParams, MaxParallel: parallel.MaxWorkers, FailFast: parallel.FailFast,
				Media: m, Defaults: promptDefaults(l.settings.UnifiedFlags),
			}),
			openai.New(openai.Config{Engine: turns, StrictParams: server.StrictParams, Media: m}),
			h.responses.With(m, server.StrictParams),
			anthropic.New(anthropic.Config{Engine: turns, StrictParams: server.StrictParams, Media: m}),
		},
		Fallback: meta.New(about),
		Guard: httpapi.Guard{
			AllowedHosts: server.AllowedHosts, AllowIPs: h.config.AllowIPs, AllowedOrigins: server.CORSAllowedOrigins,
			AllowCredentials: server.CORSAllowCredentials, MaxAge: server.CORSMaxAge,
		},
		Keys: keys, Limiter: l.limiter, MaxBody: server.MaxRequestBodyBytes, WriteTimeout: seconds(server.WriteTimeoutSecs),
		Observe: observe, Logger: h.log,
	})
}

// Engine runs turns.
func (h *Host) Engine() *engine.Engine { return h.engine }

// Unmatched tells of backends that the settings name and that no plugin has.
func (h *Host) Unmatched() []string {
	h.rescan.Lock()
	defer h.rescan.Unlock()
	return h.live.Load().settings.Unmatched(namesOf(h.entries))
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
	// lastTime is for what comes after turns: to write the rest of an answer, or a session.
	lastTime = 2 * time.Second
)

// Start starts the plugins. It returns when each had its first chance.
func (h *Host) Start(ctx context.Context) error { return h.supervisor.Start(ctx) }

// Stop ends what runs in the background, the plugins and whatever they left behind.
func (h *Host) Stop(ctx context.Context) error {
	err := h.responses.Stop(ctx)
	last, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	h.sessions.Stop(last) // while there are backends that can forget
	err = errors.Join(err, h.supervisor.Stop(ctx))
	h.counted.wait()
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
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.live.Load().handler.ServeHTTP(w, r) }),
		ReadHeaderTimeout: orDefault(seconds(s.ReadTimeoutSecs), 10*time.Second),
		IdleTimeout:       orDefault(seconds(s.IdleTimeoutSecs), 2*time.Minute),
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
		ConnContext:       markLocal,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	watching, endWatch := context.WithCancel(ctx)
	defer endWatch()
	var watch sync.WaitGroup
	watch.Go(func() { h.watchPlugins(watching) })
	watch.Go(func() { h.sessions.Run(watching) })
	startErr := h.Start(ctx)
	if startErr == nil {
		if socket := h.openSocket(ctx); socket != nil {
			go h.serveSocket(server, socket)
		}
		if h.config.Load != nil && h.config.File != "" {
			watch.Go(func() { h.watchSettings(watching) })
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
	h.closeServer(ctx, server)
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancelStop()
	return errors.Join(startErr, h.Stop(stop))
}

// closeServer lets the answers of turns that have ended be written to their ends. What
// still runs then is cut off, and its session keeps what there was of it.
func (h *Host) closeServer(ctx context.Context, server *http.Server) {
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	_ = server.Shutdown(write)
	_ = server.Close()
	keep, cancelKeep := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancelKeep()
	if err := h.engine.Drain(keep); err != nil {
		h.log.Warn("stopping before all turns were closed", "error", err)
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

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

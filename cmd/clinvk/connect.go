package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog/trust"
	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// connectOptions are the flags of verbs that ask a server.
type connectOptions struct {
	config     string
	server     string
	inProcess  bool
	pluginDirs []string
	debug      bool
}

func (o *connectOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration file (default ~/.clinvk/config.yaml)")
	f.StringVar(&o.server, "server", "", "address of the server to ask (CLINVK_SERVER; default: the one that runs on this machine, else none)")
	f.BoolVar(&o.inProcess, "in-process", false, "use no server, also when one runs")
	f.StringArrayVar(&o.pluginDirs, "plugin-dir", nil, "directory of backend plugins, when no server runs; may be repeated")
	f.BoolVar(&o.debug, "debug", false, "log what happens (CLINVK_DEBUG=1)")
}

// connection is a server to ask.
type connection struct {
	*client.Client
	settings *config.Config
	local    bool // it is within this process
	bare     bool // it is, and has no backend
	// close ends what was started for it.
	close func() error
}

// connect finds the server to ask: the one that is named, the one that runs for this
// user on this machine, or one within this process, which starts only the plugins of
// these backends; none: all.
func (o connectOptions) connect(ctx context.Context, s streams, needs func(*config.Config) []string) (*connection, error) {
	settings, err := loadConfig(o.config)
	if err != nil {
		return nil, err
	}
	if c, err := o.remote(ctx, settings); c != nil || err != nil {
		return c, err
	}
	if backends := needs(settings); len(backends) > 0 && len(settings.Plugins.Allow) == 0 {
		settings.Plugins.Allow = backends
	}
	return o.start(ctx, s, host.Config{Settings: settings})
}

// records is connect for what needs the sessions only: within this process it starts
// no plugin.
func (o connectOptions) records(ctx context.Context, s streams) (*connection, error) {
	settings, err := loadConfig(o.config)
	if err != nil {
		return nil, err
	}
	if c, err := o.remote(ctx, settings); c != nil || err != nil {
		return c, err
	}
	c, err := o.start(ctx, s, host.Config{Settings: settings, NoBackends: true})
	if err != nil {
		return nil, err
	}
	c.bare = true
	if _, err := listSessions(ctx, c.Client, sessionFilter{limit: 1}); hasCode(err, "backend_unavailable") {
		return nil, errors.Join(sessionError{errors.New(c.noStore() + "; --debug says why")}, c.Close())
	}
	return c, nil
}

// noStore says that no sessions are kept.
func (c *connection) noStore() string {
	if !c.local {
		return "the server has no store of sessions; its log says why"
	}
	return "the store of sessions in " + c.settings.Home + " cannot be used"
}

// remote is the server that is named or that runs; nil: there is none, or none is wanted.
func (o connectOptions) remote(ctx context.Context, settings *config.Config) (*connection, error) {
	nothing := func() error { return nil }
	if address := cmp.Or(o.server, os.Getenv("CLINVK_SERVER")); address != "" && !o.inProcess {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("the server is %q; it must be an address like http://127.0.0.1:8080", address)
		}
		key, _, _ := strings.Cut(os.Getenv("CLINVK_API_KEYS"), ",")
		return &connection{Client: &client.Client{Base: address, Key: strings.TrimSpace(key)}, settings: settings, close: nothing}, nil
	}
	if !o.inProcess && len(o.pluginDirs) == 0 && o.config == "" {
		if c := running(ctx, settings.Home); c != nil {
			return &connection{Client: c, settings: settings, close: nothing}, nil
		}
	}
	return nil, nil //nolint:nilnil // as documented
}

// localBase is the address within connections that need none.
const localBase = "http://localhost"

// running is the server of this user that runs; nil: none does.
func running(ctx context.Context, home string) *client.Client {
	paths, err := host.Sockets(home)
	if err != nil {
		return nil
	}
	var d net.Dialer
	for _, path := range paths {
		c, err := d.DialContext(ctx, "unix", path)
		if err != nil { // it is on its way out, or in
			continue
		}
		_ = c.Close() // it was only to see whether somebody listens
		return &client.Client{Base: localBase, HTTP: dialing(func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "unix", path) })}
	}
	return nil
}

func dialing(dial func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}
}

// start runs a host in this process. It goes on when ctx ends, so that turns are ended
// properly, until close is called.
func (o connectOptions) start(ctx context.Context, s streams, c host.Config) (*connection, error) {
	ours, err := trust.ParseBundled(bundled)
	if err != nil {
		return nil, err
	}
	c.Bundled, c.PluginDirs, c.Executable, c.Version = ours, o.pluginDirs, host.Executable(), version
	c.Logger = slog.New(slog.DiscardHandler)
	if o.debug || os.Getenv("CLINVK_DEBUG") != "" {
		c.Logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	h, err := host.New(ctx, c)
	if err != nil {
		return nil, err
	}
	ln := newPipes()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.Serve(serving, ln, func() { close(ready) }) }()
	end := func() error { stop(); return <-ended }
	select {
	case <-ready:
	case err := <-ended:
		stop()
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("starting the backends: %w; CLINVK_HOME names a directory of your own", err)
		}
		return nil, fmt.Errorf("starting the backends: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), end())
	}
	local := &client.Client{Base: localBase, HTTP: dialing(ln.dial)}
	return &connection{Client: local, settings: c.Settings, local: true, close: end}, nil
}

// all needs every backend.
func all(*config.Config) []string { return nil }

// only says which backend a prompt needs; nil: any of them.
func only(backend, model string) func(*config.Config) []string {
	return func(c *config.Config) []string {
		if a, ok := c.Models[model]; ok && backend == "" {
			return []string{a.Backend}
		}
		if name := cmp.Or(backend, prefixOf(model), c.DefaultBackend); name != "" {
			return []string{name}
		}
		return nil
	}
}

// prefixOf is the backend that a model's name begins with; empty: it names none.
func prefixOf(model string) string {
	backend, _, ok := strings.Cut(model, "/")
	if !ok {
		return ""
	}
	return backend
}

// closing closes c and keeps the first error.
func closing(c io.Closer, err *error) {
	if e := c.Close(); *err == nil {
		*err = e
	}
}

// Close ends what was started for the connection.
func (c *connection) Close() error { return c.close() }

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/test/bufconn"

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
	bare     bool // it is within this process and has no backend
	// close ends what was started for it.
	close func() error
}

// connect finds the server to ask: the one that is named, the one that runs for this
// user on this machine, or one within this process, which starts only the plugins of
// these backends; none: all.
func (o connectOptions) connect(ctx context.Context, s streams, needs func(*config.Config) []string) (*connection, error) {
	settings, err := config.Load(o.config, os.Environ())
	if err != nil {
		return nil, err
	}
	if c := o.remote(ctx, settings); c != nil {
		return c, nil
	}
	if backends := needs(settings); len(backends) > 0 && len(settings.Plugins.Allow) == 0 {
		settings.Plugins.Allow = backends
	}
	return o.start(ctx, s, host.Config{Settings: settings})
}

// records is connect for what needs the sessions only: within this process it starts
// no plugin.
func (o connectOptions) records(ctx context.Context, s streams) (*connection, error) {
	settings, err := config.Load(o.config, os.Environ())
	if err != nil {
		return nil, err
	}
	if c := o.remote(ctx, settings); c != nil {
		return c, nil
	}
	c, err := o.start(ctx, s, host.Config{Settings: settings, NoBackends: true})
	if err != nil {
		return nil, err
	}
	c.bare = true
	return c, nil
}

// remote is the server that is named or that runs; nil: there is none, or none is wanted.
func (o connectOptions) remote(ctx context.Context, settings *config.Config) *connection {
	nothing := func() error { return nil }
	if address := cmp.Or(o.server, os.Getenv("CLINVK_SERVER")); address != "" && !o.inProcess {
		key, _, _ := strings.Cut(os.Getenv("CLINVK_API_KEYS"), ",")
		return &connection{Client: &client.Client{Base: address, Key: strings.TrimSpace(key)}, settings: settings, close: nothing}
	}
	if !o.inProcess && len(o.pluginDirs) == 0 && o.config == "" {
		if c := running(ctx, settings.Home); c != nil {
			return &connection{Client: c, settings: settings, close: nothing}
		}
	}
	return nil
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

// pipeSize is the buffer of connections within the process, in bytes.
const pipeSize = 64 << 10

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
	ln := bufconn.Listen(pipeSize)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.Serve(serving, ln, func() { close(ready) }) }()
	end := func() error { stop(); return <-ended }
	select {
	case <-ready:
	case err := <-ended:
		stop()
		return nil, fmt.Errorf("starting the backends: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), end())
	}
	local := &client.Client{Base: localBase, HTTP: dialing(ln.DialContext)}
	return &connection{Client: local, settings: c.Settings, close: end}, nil
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

package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog/trust"
	"github.com/clinvk/clinvk/host/config"
)

// serveOptions are the flags of serve.
type serveOptions struct {
	host               string
	port               int
	portSet            bool
	pluginDirs         []string
	config             string
	noAuth             bool
	insecurePluginDirs bool
	debug              bool
}

func newServe(s streams) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the AI CLIs over HTTP",
		Long: `Serve finds backend plugins, runs each as a process of its own, and answers
REST (/api/v1), OpenAI's API (/openai/v1) and Anthropic's API (/anthropic).
Plugins that are added, replaced or removed meanwhile, and changes of the configuration,
are noticed within a second or, where the system does not tell of changes, within a
minute; on SIGHUP at once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.portSet = cmd.Flags().Changed("port")
			return serve(cmd.Context(), o, s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.host, "host", "", "address to listen on (default "+config.DefaultHost+")")
	f.IntVarP(&o.port, "port", "p", config.DefaultPort, "port to listen on; 0: a free one")
	f.StringArrayVar(&o.pluginDirs, "plugin-dir", nil, "directory of backend plugins; may be repeated; only these and the bundled ones are searched then")
	f.StringVar(&o.config, "config", "", "configuration file (default ~/.clinvk/config.yaml)")
	f.BoolVar(&o.noAuth, "no-auth", false, "listen on other than loopback addresses without an API key")
	f.BoolVar(&o.insecurePluginDirs, "insecure-plugin-dir", false, "run plugins that others may change; for containers")
	f.BoolVar(&o.debug, "debug", false, "log more, also what plugins say (CLINVK_DEBUG=1)")
	return cmd
}

// gcPercent trades memory that a server of some megabytes can spare for processor
// time: at thousands of requests a second collections took a tenth of it.
const gcPercent = 300

func serve(ctx context.Context, o serveOptions, s streams) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	settings, err := loadConfig(o.config)
	if err != nil {
		return err
	}
	address := cmp.Or(o.host, settings.Server.Host, config.DefaultHost)
	port := config.DefaultPort
	if settings.Server.Port != nil {
		port = *settings.Server.Port
	}
	if o.portSet {
		port = o.port
	}
	level := slog.LevelInfo
	if o.debug || os.Getenv("CLINVK_DEBUG") != "" {
		level = slog.LevelDebug
	}
	log := newLogWriter(s.err)
	defer log.Close()
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level}))
	file, err := config.Locate(o.config, os.Environ())
	if err != nil {
		return err
	}
	keys := keyring{address: address, noAuth: o.noAuth, streams: s}
	ours, err := trust.ParseBundled(bundled)
	if err != nil {
		return err
	}
	h, err := host.New(ctx, host.Config{
		CommandLine: true,
		Bundled:     ours, Settings: settings, PluginDirs: o.pluginDirs, InsecurePluginDirs: o.insecurePluginDirs,
		Executable: host.Executable(), Version: version, AllowIPs: !loopback(address), Logger: logger,
		Keys: keys.load, File: file, Load: func() (*config.Config, error) { return loadConfig(o.config) },
	})
	if err != nil {
		return err
	}
	for _, e := range h.Refused {
		logger.Error("plugin refused", "backend", e.Name, "reason", e.Refused)
	}
	for _, odd := range slices.Concat(settings.Strays(), h.Unmatched()) {
		logger.Warn("the configuration may be mistyped: " + odd)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listening: %w (another port: --port)", err)
	}
	ctx, stop := context.WithCancel(ctx)
	endHangup := onHangup(func() { reload(ctx, h, logger) }, stop)
	defer func() { stop(); endHangup() }()
	return h.Serve(ctx, ln, func() { announce(h, ln, s) })
}

// reload reads the configuration again and looks for plugins, because somebody asks for
// it.
func reload(ctx context.Context, h *host.Host, logger *slog.Logger) {
	logger.Info("reading the configuration")
	_ = h.Reload(ctx) // it tells itself
	logger.Info("looking for plugins")
	if err := h.Rescan(ctx); err != nil && ctx.Err() == nil {
		logger.Warn("the plugins stay as they are", "error", err)
	}
}

// loopback says whether only this machine can reach an address. A name counts as
// loopback only when it is localhost.
func loopback(address string) bool {
	if address == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}

// announce tells where the server is and what it serves.
func announce(h *host.Host, ln net.Listener, s streams) {
	_, _ = fmt.Fprintf(s.out, "clinvk %s is listening on http://%s\n", version, ln.Addr())
	for _, b := range h.Engine().Backends() {
		state := "ready"
		if !b.Available() {
			state = cmp.Or(b.Message(), b.State)
		}
		_, _ = fmt.Fprintf(s.out, "  %-10s %s\n", b.Name, state)
	}
}

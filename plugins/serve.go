package plugins

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// closeTimeout bounds Closer.Close at shutdown; the host kills two seconds after
// it asked.
const closeTimeout = 1500 * time.Millisecond

// gcPercent trades memory that a plugin of some megabytes can spare for processor
// time; GOGC overrides it.
const gcPercent = 300

// shareProcessors leaves half of the processors to the CLI that the plugin drives:
// a plugin hands events on and needs few of its own, and with fewer of them less
// time goes into waking threads (on two processors a turn through the echo plugin
// took 0.05 ms less, and 8 clients got a tenth more turns). GOMAXPROCS overrides it.
func shareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}

// Option changes how Serve works.
type Option func(*options)

type options struct {
	version string
	logger  hclog.Logger
}

// WithVersion sets the plugin's semantic version; the default is the version of
// the main module as the Go toolchain recorded it, or "0.0.0-dev".
func WithVersion(version string) Option {
	return func(o *options) {
		if version != "" {
			o.version = version
		}
	}
}

// WithLogger replaces the logger; the default is Logger().
func WithLogger(l hclog.Logger) Option { return func(o *options) { o.logger = l } }

var defaultLogger = sync.OnceValue(func() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: os.Stderr, JSONFormat: true})
})

// Logger writes JSON lines to stderr, where the host picks them up. It may be
// used before and after Serve, by any goroutine.
func Logger() hclog.Logger { return defaultLogger() }

// Serve runs the plugin and does not return before the host is done with it. It
// reads the process's arguments: started by hand with --help, --version or
// --describe it answers and returns. Without a host it says what the program is
// and exits with status 1.
//
// Serve ends when the host asks, when the guard pipe on stdin is closed, and on
// SIGTERM; the backend's Close is called before.
func Serve(b Backend, opts ...Option) {
	o := options{version: buildVersion(), logger: Logger()}
	for _, opt := range opts {
		opt(&o)
	}
	if len(os.Args) > 1 || os.Getenv(handshake.CookieKey) != handshake.CookieValue {
		os.Exit(byHand(os.Args[1:], b, o.version, os.Stdout, os.Stderr))
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	shareProcessors()
	s := &service{backend: b, version: o.version, log: o.logger}
	stop := sync.OnceFunc(func() { closeBackend(s) })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go exitOnSignal(ctx, stop)
	if os.Getenv(handshake.EnvStdinGuard) == "1" {
		go exitOnEOF(os.Stdin, stop)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: handshake.ProtocolVersion, MagicCookieKey: handshake.CookieKey, MagicCookieValue: handshake.CookieValue,
		},
		Plugins: plugin.PluginSet{handshake.PluginSet: &grpcPlugin{service: s}},
		// go-plugin's own chatter is of interest only when it is a warning.
		Logger: hclog.New(&hclog.LoggerOptions{Name: "go-plugin", Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
		GRPCServer: func(base []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(base,
				grpc.MaxRecvMsgSize(handshake.MaxToPlugin),
				grpc.MaxSendMsgSize(handshake.MaxFromPlugin),
				grpc.InitialWindowSize(handshake.StreamWindow),
				grpc.InitialConnWindowSize(handshake.ConnectionWindow),
				grpc.NumStreamWorkers(uint32(runtime.GOMAXPROCS(0))), //nolint:gosec // a number of processors
			)...)
		},
	})
	stop()
}

// NewService is the backend as the contract's gRPC service, for tests and for
// programs that serve it over a connection of their own.
func NewService(b Backend, opts ...Option) backendv1.BackendServiceServer {
	o := options{version: buildVersion(), logger: hclog.NewNullLogger()}
	for _, opt := range opts {
		opt(&o)
	}
	return &service{backend: b, version: o.version, log: o.logger}
}

// closeBackend gives the backend a bounded chance to end what it runs.
func closeBackend(s *service) {
	c, ok := s.backend.(Closer)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer s.guard("Close", &err)
		err = c.Close(ctx)
	}()
	select {
	case err := <-done:
		if err != nil {
			s.log.Warn("closing the backend", "error", err)
		}
	case <-ctx.Done():
		s.log.Warn("the backend did not close in time", "limit", closeTimeout)
	}
}

func exitOnSignal(ctx context.Context, stop func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM)
	select {
	case <-ch:
		stop()
		os.Exit(0)
	case <-ctx.Done():
		signal.Stop(ch)
	}
}

// exitOnEOF ends the plugin with its host: only the host holds the other end.
func exitOnEOF(stdin io.Reader, stop func()) {
	_, _ = io.Copy(io.Discard, stdin) // any error means the same as EOF
	stop()
	os.Exit(0)
}

// grpcPlugin is the glue between go-plugin and the service.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	service *service
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	backendv1.RegisterBackendServiceServer(s, p.service)
	return nil
}

func (p *grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, fmt.Errorf("the SDK serves backends, it does not call them")
}

// byHand answers a person who runs the plugin and returns the exit status.
func byHand(args []string, b Backend, version string, stdout, stderr io.Writer) int {
	d := b.Describe()
	help := fmt.Sprintf(`%[1]s%[2]s %[3]s: the %[4]s backend of clinvk.

%[5]s

This program is a plugin: clinvk starts it. Put it into a plugin directory and run

    clinvk serve --plugin-dir DIR

Flags:
  --describe   print what the plugin can do, as JSON
  --version    print the version
  --help       print this
`, handshake.NamePrefix, d.Name, version, d.Title, d.Summary)
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, help)
		return 1
	}
	switch args[0] {
	case "--help", "-h", "-help":
		_, _ = io.WriteString(stdout, help)
	case "--version", "-version":
		_, _ = fmt.Fprintln(stdout, version)
	case "--describe":
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(describe(b, version))
		if err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return 1
		}
		var v any // protojson varies its spaces on purpose; people compare output
		if err := json.Unmarshal(text, &v); err != nil {
			_, _ = fmt.Fprintln(stderr, err)
			return 1
		}
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return 1
		}
	default:
		_, _ = fmt.Fprintf(stderr, "unknown argument %q\n\n%s", args[0], help)
		return 2
	}
	return 0
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.0.0-dev"
}

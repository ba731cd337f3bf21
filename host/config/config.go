package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is everything that can be set. The zero value of a field is its default
// unless its comment says otherwise.
type Config struct {
	// DefaultBackend answers requests that name none; empty: they are refused.
	DefaultBackend string `yaml:"default_backend"`
	// Backends by name.
	Backends map[string]Backend `yaml:"backends"`
	// Models are aliases by name.
	Models map[string]Alias `yaml:"models"`
	// Limits of every backend, where it sets none of its own.
	Limits Limits `yaml:"limits"`
	// Plugins says where plugins are.
	Plugins Plugins `yaml:"plugins"`
	// Server is the HTTP server.
	Server Server `yaml:"server"`

	// Path of the file that was read; empty: none was.
	Path string `yaml:"-"`
	// Home is the directory of everything that clinvk keeps.
	Home string `yaml:"-"`
	// APIKeys from the environment.
	APIKeys []string `yaml:"-"`
}

// Backend is backends.NAME.
type Backend struct {
	// Enabled is true unless it is set to false.
	Enabled *bool `yaml:"enabled"`
	// Command is the CLI's binary; empty: looked up in PATH.
	Command string `yaml:"command"`
	// Env is given to the CLI; ${env:NAME} stands for a variable of the server.
	Env map[string]string `yaml:"env"`
	// Warm is how many spares to keep; absent: the plugin's own choice.
	Warm *int `yaml:"warm"`
	// Limits of this backend.
	Limits *Limits `yaml:"limits"`
	// Options are the plugin's own; it checks them.
	Options map[string]any `yaml:"options"`
}

// Alias is models.NAME.
type Alias struct {
	// Backend is required.
	Backend string `yaml:"backend"`
	// Model is the backend's own name of a model; empty: its default.
	Model string `yaml:"model"`
	// What is set wins over the request.
	Mode         string `yaml:"mode"`
	Workdir      string `yaml:"workdir"`
	ApprovalMode string `yaml:"approval_mode"`
	SandboxMode  string `yaml:"sandbox_mode"`
}

// Limits is limits, and backends.NAME.limits.
type Limits struct {
	// MaxConcurrent turns; 0: 32, and never more than the plugin says.
	MaxConcurrent int `yaml:"max_concurrent"`
	// MaxQueue is how many turns may wait; 0: 256; negative: none.
	MaxQueue int `yaml:"max_queue"`
	// QueueTimeoutSecs is how long a turn may wait; 0: 60.
	QueueTimeoutSecs float64 `yaml:"queue_timeout_secs"`
	// MaxMemoryMB is what all processes of a backend may use together, in MiB; 0:
	// half of the machine's memory; -1: any amount.
	MaxMemoryMB int `yaml:"max_memory_mb"`
	// MaxProcesses that a backend may run; 0: 512; -1: any number.
	MaxProcesses int `yaml:"max_processes"`
}

// least are the lowest walls that a backend could live in: a plugin alone needs 20
// to 40 MiB, and is one process besides its CLI's.
const (
	leastMemoryMB  = 64
	leastProcesses = 4
)

// check reports values that make no sense; at is the key of l.
func (l Limits) check(at string, bad func(format string, args ...any)) {
	if l.MaxConcurrent < 0 {
		bad("%s.max_concurrent must not be negative", at)
	}
	if l.QueueTimeoutSecs < 0 {
		bad("%s.queue_timeout_secs must not be negative", at)
	}
	if n := l.MaxMemoryMB; n < -1 || n > 0 && n < leastMemoryMB {
		bad("%s.max_memory_mb is %d; it must be -1 (no limit), 0 (half of the machine) or at least %d", at, n, leastMemoryMB)
	}
	if n := l.MaxProcesses; n < -1 || n > 0 && n < leastProcesses {
		bad("%s.max_processes is %d; it must be -1 (no limit), 0 (512) or at least %d", at, n, leastProcesses)
	}
}

// LimitsOf a backend: its own, and where it sets none those of all.
func (c *Config) LimitsOf(backend string) Limits {
	l := c.Limits
	own := c.Backends[backend].Limits
	if own == nil {
		return l
	}
	return Limits{
		MaxConcurrent:    cmp.Or(own.MaxConcurrent, l.MaxConcurrent),
		MaxQueue:         cmp.Or(own.MaxQueue, l.MaxQueue),
		QueueTimeoutSecs: cmp.Or(own.QueueTimeoutSecs, l.QueueTimeoutSecs),
		MaxMemoryMB:      cmp.Or(own.MaxMemoryMB, l.MaxMemoryMB),
		MaxProcesses:     cmp.Or(own.MaxProcesses, l.MaxProcesses),
	}
}

// Plugins is plugins.
type Plugins struct {
	// Dirs are searched before all others; with any, only they and the bundled
	// plugins are.
	Dirs []string `yaml:"dirs"`
	// Allow lists the backends that may run; empty: all that are found.
	Allow []string `yaml:"allow"`
	// Trust is "permissions" (empty, too), or "lock": then only plugins that came
	// with this clinvk or were approved run.
	Trust string `yaml:"trust"`
}

// Server is server.
type Server struct {
	// Host to listen on; empty: 127.0.0.1.
	Host string `yaml:"host"`
	// Port to listen on; absent: 8080; 0: a free one.
	Port *int `yaml:"port"`
	// AllowedHosts are further names that the Host header may have.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// CORS settings; a wildcard is not accepted.
	CORSAllowedOrigins   []string `yaml:"cors_allowed_origins"`
	CORSAllowCredentials bool     `yaml:"cors_allow_credentials"`
	CORSMaxAge           int      `yaml:"cors_max_age"`
	// MaxRequestBodyBytes; 0: 32 MiB.
	MaxRequestBodyBytes int64 `yaml:"max_request_body_bytes"`
	// RequestTimeoutSecs bounds a turn; 0: an hour.
	RequestTimeoutSecs float64 `yaml:"request_timeout_secs"`
	// ReadTimeoutSecs bounds the reading of a request's header; 0: 10.
	ReadTimeoutSecs float64 `yaml:"read_timeout_secs"`
	// WriteTimeoutSecs bounds each write to a client that does not read; 0: 30.
	WriteTimeoutSecs float64 `yaml:"write_timeout_secs"`
	// IdleTimeoutSecs bounds an idle connection; 0: 120.
	IdleTimeoutSecs float64 `yaml:"idle_timeout_secs"`
	// StrictParams refuses parameters that a backend would ignore.
	StrictParams bool `yaml:"strict_params"`
	// AllowedWorkdirPrefixes bound where agents may work; empty: anywhere that is
	// not blocked.
	AllowedWorkdirPrefixes []string `yaml:"allowed_workdir_prefixes"`
	BlockedWorkdirPrefixes []string `yaml:"blocked_workdir_prefixes"`
	// FetchRemoteMedia lists the hosts that images and documents may be fetched from
	// when a request links them: names or addresses, with a port unless it is one of
	// the usual ones; empty: none is fetched.
	FetchRemoteMedia []string `yaml:"fetch_remote_media"`
}

// DefaultPort is where the server listens when nothing else is said.
const DefaultPort = 8080

// DefaultHost is where the server listens when nothing else is said.
const DefaultHost = "127.0.0.1"

// Error is a configuration that cannot be used.
type Error struct {
	// Path of the file; empty: the environment.
	Path    string
	Message string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Load reads the file at path, or, when path is empty, at CLINVK_CONFIG, or else
// CLINVK_HOME/config.yaml if that exists; then it applies the environment. Errors
// are *Error, or say that a named file cannot be read.
func Load(path string, getenv func(string) string) (*Config, error) {
	home, err := homeDir(getenv)
	if err != nil {
		return nil, err
	}
	c := &Config{Home: home}
	named := cmp.Or(path, getenv("CLINVK_CONFIG"))
	c.Path = cmp.Or(named, filepath.Join(home, "config.yaml"))
	f, err := os.Open(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && named == "":
		c.Path = ""
	case err != nil:
		return nil, fmt.Errorf("reading the configuration: %w", err)
	default:
		defer f.Close()
		if err := decode(f, c); err != nil {
			return nil, &Error{Path: c.Path, Message: err.Error()}
		}
	}
	if err := c.environment(getenv); err != nil {
		return nil, &Error{Message: err.Error()}
	}
	if err := c.validate(); err != nil {
		return nil, &Error{Path: c.Path, Message: err.Error()}
	}
	return c, nil
}

func homeDir(getenv func(string) string) (string, error) {
	if home := getenv("CLINVK_HOME"); home != "" {
		return filepath.Abs(home)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("there is no home directory; set CLINVK_HOME: %w", err)
	}
	return filepath.Join(user, ".clinvk"), nil
}

func decode(r io.Reader, c *Config) error {
	dec := yaml.NewDecoder(r)
	dec.KnownFields(true)
	err := dec.Decode(c)
	if errors.Is(err, io.EOF) { // an empty file
		return nil
	}
	if t, ok := errors.AsType[*yaml.TypeError](err); ok {
		return errors.New(strings.Join(t.Errors, "; "))
	}
	return err
}

func (c *Config) environment(getenv func(string) string) error {
	c.DefaultBackend = cmp.Or(getenv("CLINVK_BACKEND"), c.DefaultBackend)
	c.Server.Host = cmp.Or(getenv("CLINVK_SERVER_HOST"), c.Server.Host)
	if v := getenv("CLINVK_SERVER_PORT"); v != "" {
		port, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("CLINVK_SERVER_PORT is %q, not a number", v)
		}
		c.Server.Port = &port
	}
	for key := range strings.SplitSeq(getenv("CLINVK_API_KEYS"), ",") {
		if key = strings.TrimSpace(key); key != "" {
			c.APIKeys = append(c.APIKeys, key)
		}
	}
	for name, b := range c.Backends {
		for k, v := range b.Env {
			b.Env[k] = expand(v, getenv)
		}
		c.Backends[name] = b
	}
	return nil
}

var envReference = regexp.MustCompile(`\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${env:NAME}.
func expand(s string, getenv func(string) string) string {
	return envReference.ReplaceAllStringFunc(s, func(m string) string {
		return getenv(envReference.FindStringSubmatch(m)[1])
	})
}

var (
	modeNames     = []string{"", "chat", "agent"}
	approvalNames = []string{"", "default", "auto", "none", "always"}
	sandboxNames  = []string{"", "default", "read-only", "workspace", "full"}
	trustNames    = []string{"", "permissions", "lock"}
)

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

// isHost says whether s names a host, or an address, and maybe a port.
func isHost(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "80"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return false
	}
	return hostName.MatchString(host) || net.ParseIP(host) != nil
}

func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if p := c.Server.Port; p != nil && (*p < 0 || *p > 65535) {
		bad("server.port is %d; it must be between 0 and 65535", *p)
	}
	if t := c.Plugins.Trust; !slices.Contains(trustNames, t) {
		bad("plugins.trust is %q; it must be one of %s", t, strings.Join(trustNames[1:], ", "))
	}
	for _, o := range c.Server.CORSAllowedOrigins {
		if o == "*" {
			bad("server.cors_allowed_origins must name origins; \"*\" would let every web page run agents")
		}
	}
	for _, h := range c.Server.FetchRemoteMedia {
		if !isHost(h) {
			bad("server.fetch_remote_media has %q; it must list hosts such as images.example.com, 10.0.0.5 or localhost:9000", h)
		}
	}
	c.Limits.check("limits", bad)
	for name, a := range c.Models {
		if a.Backend == "" {
			bad("models.%s.backend is required", name)
		}
		for _, f := range []struct {
			key, value string
			allowed    []string
		}{{"mode", a.Mode, modeNames}, {"approval_mode", a.ApprovalMode, approvalNames}, {"sandbox_mode", a.SandboxMode, sandboxNames}} {
			if !slices.Contains(f.allowed, f.value) {
				bad("models.%s.%s is %q; it must be one of %s", name, f.key, f.value, strings.Join(f.allowed[1:], ", "))
			}
		}
		if a.Workdir != "" && !filepath.IsAbs(a.Workdir) {
			bad("models.%s.workdir must be an absolute path", name)
		}
	}
	for name, b := range c.Backends {
		if b.Warm != nil && *b.Warm < 0 {
			bad("backends.%s.warm must not be negative", name)
		}
		if b.Limits != nil {
			b.Limits.check("backends."+name+".limits", bad)
		}
	}
	return errors.Join(errs...)
}

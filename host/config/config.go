package config

import "cmp"

// Config is everything that can be set. Load fills in the defaults; in a Config that
// was made by hand a zero value means the default, too.
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
	// Parallel says how several prompts run side by side.
	Parallel Parallel `yaml:"parallel"`

	// Path of the file that was read; empty: none was.
	Path string `yaml:"-"`
	// Home is the directory of everything that clinvk keeps.
	Home string `yaml:"-"`
	// APIKeys from the environment.
	APIKeys []string `yaml:"-"`

	entries []Entry
	strays  []string
}

// Backend is backends.NAME.
type Backend struct {
	// Enabled is true unless it is set to false.
	Enabled *bool `yaml:"enabled"`
	// Command is the CLI's binary; empty: looked up in PATH.
	Command string `yaml:"command"`
	// Model answers turns that name the backend only; empty: the CLI's own choice.
	Model string `yaml:"model"`
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
	// Trust is "permissions" (the default), or "lock": then only plugins that came
	// with this clinvk or were approved run.
	Trust string `yaml:"trust"`
}

// Parallel is parallel.
type Parallel struct {
	// MaxWorkers is how many tasks of a request run at a time when it does not say; 0: 3.
	MaxWorkers int `yaml:"max_workers"`
	// FailFast ends the other tasks when one fails and the request does not say.
	FailFast bool `yaml:"fail_fast"`
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
	// MetricsEnabled serves GET /metrics for Prometheus.
	MetricsEnabled bool `yaml:"metrics_enabled"`
	// AllowedWorkdirPrefixes bound where agents may work; empty: anywhere that is
	// not blocked.
	AllowedWorkdirPrefixes []string `yaml:"allowed_workdir_prefixes"`
	BlockedWorkdirPrefixes []string `yaml:"blocked_workdir_prefixes"`
	// FetchRemoteMedia lists the hosts that images and documents may be fetched from
	// when a request links them: names or addresses, with a port unless it is one of
	// the usual ones; empty: none is fetched.
	FetchRemoteMedia []string `yaml:"fetch_remote_media"`
}

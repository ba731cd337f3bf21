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
	// UnifiedFlags are what prompts over REST and the command line get where they do
	// not say themselves.
	UnifiedFlags UnifiedFlags `yaml:"unified_flags"`
	// Session says how conversations are kept.
	Session Session `yaml:"session"`
	// Output is how the command line shows answers.
	Output Output `yaml:"output"`
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
	origins map[string]Origin // by Key.String
	strays  []string
	blank   bool
}

// Blank says that the file that was read has nothing in it: it may be about to be
// written.
func (c *Config) Blank() bool { return c.blank }

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
	// AllowedTools is a list with commas of the CLI's own tools that run without
	// asking; empty or "all": what the CLI says. It stands for the option allowed_tools,
	// and is a mistake where the plugin has none.
	AllowedTools string `yaml:"allowed_tools"`
	// ApprovalMode and SandboxMode hold for agents that are not told others; empty: those
	// of UnifiedFlags.
	ApprovalMode string `yaml:"approval_mode"`
	SandboxMode  string `yaml:"sandbox_mode"`
	// SystemPrompt of agents that are given none.
	SystemPrompt string `yaml:"system_prompt"`
	// ExtraFlags for the CLI of agents, before those of the request; the plugin refuses
	// what it does not allow.
	ExtraFlags []string `yaml:"extra_flags"`
	// Options are the plugin's own; see CheckOptions.
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
	// AggregateOutput has the command line head each output with whose it is and how long
	// it took; true unless it is set to false.
	AggregateOutput *bool `yaml:"aggregate_output"`
}

// UnifiedFlags is unified_flags. What a request says itself wins, but a true Verbose or
// DryRun holds for all.
type UnifiedFlags struct {
	// ApprovalMode and SandboxMode of agents whose backend has none of its own; empty:
	// "default".
	ApprovalMode string `yaml:"approval_mode"`
	SandboxMode  string `yaml:"sandbox_mode"`
	// OutputFormat of POST /api/v1/prompt; empty: "default".
	OutputFormat string `yaml:"output_format"`
	// Verbose shows on the command line what the backend thinks and does.
	Verbose bool `yaml:"verbose"`
	// DryRun runs nothing and tells what would be run.
	DryRun bool `yaml:"dry_run"`
	// MaxTurns is the most model calls of an agent; 0: any number.
	MaxTurns int `yaml:"max_turns"`
	// MaxTokens of an answer; 0: what the backend says.
	MaxTokens int64 `yaml:"max_tokens"`
	// SystemPrompt of prompts whose backend has none of its own.
	SystemPrompt string `yaml:"system_prompt"`
	// CommandTimeoutSecs bounds a turn; 0: server.request_timeout_secs alone does.
	CommandTimeoutSecs float64 `yaml:"command_timeout_secs"`
}

// Session is session.
type Session struct {
	// AutoResume has a prompt on the command line continue the latest conversation of its
	// directory and backend. It is off by default: two questions need not belong together.
	AutoResume *bool `yaml:"auto_resume"`
	// RetentionDays is how long a conversation is kept; absent: 30; 0: for ever.
	RetentionDays *int `yaml:"retention_days"`
	// StoreTokenUsage keeps what conversations used; true unless it is set to false.
	StoreTokenUsage *bool `yaml:"store_token_usage"`
	// DefaultTags of new conversations.
	DefaultTags []string `yaml:"default_tags"`
}

// Output is output.
type Output struct {
	// Format is "text" (the default), "json" or "stream-json".
	Format string `yaml:"format"`
	// ShowTokens and ShowTiming print on stderr what a prompt used, and how long it took.
	ShowTokens bool `yaml:"show_tokens"`
	ShowTiming bool `yaml:"show_timing"`
	// Color is true unless it is set to false; then nothing is coloured.
	Color *bool `yaml:"color"`
}

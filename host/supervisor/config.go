package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Config says what to run and how.
type Config struct {
	// Entries are the plugins, each name once.
	Entries []catalog.Entry
	// Policy decides about each program that is started; nil: all may run, and get
	// the variables that they ask for.
	Policy Policy
	// Settings of one backend, asked before each start and by Update; nil:
	// DefaultSettings.
	Settings func(name string) Settings
	// Logger gets what happens to plugins and what they print; nil: nobody does.
	Logger *slog.Logger
	// HostVersion is told to the plugins.
	HostVersion string
	// StateDir holds one directory per backend that survives restarts. Required.
	StateDir string
	// RuntimeDir is for sockets and scratch files; empty: $XDG_RUNTIME_DIR/clinvk
	// or /tmp/clinvk-UID. Its path must be short.
	RuntimeDir string
	// LookupEnv finds variables of the server that plugins ask for; nil:
	// os.LookupEnv.
	LookupEnv func(name string) (string, bool)
	// Timings; zero fields have their documented values.
	Timings Timings
}

// Policy decides what may run and what it gets. It is asked about the digest of the
// program as it was opened for this very start, so that nothing can be swapped in
// between.
type Policy interface {
	// Admit says what the plugin is, or, with an error, why it must not run.
	Admit(ctx context.Context, e catalog.Entry, sha256 string) (catalog.Trust, error)
	// Granted says whether a variable of the server that the plugin asks for
	// (Describe.environment) is given to its CLI.
	Granted(e catalog.Entry, sha256, variable string) bool
	// Ready hears what an admitted plugin says of itself once it serves.
	Ready(ctx context.Context, e catalog.Entry, sha256 string, d *backendv1.DescribeResponse)
}

// open is the policy when none is given.
type open struct{}

func (open) Admit(context.Context, catalog.Entry, string) (catalog.Trust, error) { return "", nil }

func (open) Granted(catalog.Entry, string, string) bool { return true }

func (open) Ready(context.Context, catalog.Entry, string, *backendv1.DescribeResponse) {}

// Settings are the operator's wishes for one backend.
type Settings struct {
	// Enabled false keeps the plugin from being started.
	Enabled bool
	// Config is backends.NAME.options as a JSON object; empty: none.
	Config json.RawMessage
	// Environment is given to the CLI, on top of what the policy grants. The server's
	// own variables (CLINVK_…) are never granted.
	Environment map[string]string
	// Command is the CLI's binary; empty: looked up in PATH.
	Command string
	// Warm is how many spares to keep; negative: the plugin's own choice.
	Warm int
	// MaxMemory is how much memory the backend's processes may use together, in
	// bytes; 0: any amount. See docs/plugins.md for what happens beyond it.
	MaxMemory int64
	// MaxProcesses is how many processes the backend may run; 0: any number.
	MaxProcesses int
	// Drain is as Timings.Drain, for this backend; 0: that one.
	Drain time.Duration
	// Check says whether the plugin takes Config, by what it says of itself; nil: it is
	// asked by Configure only.
	Check func(d *backendv1.DescribeResponse) error
}

// Same says that a process with the one needs no successor with the other.
func (s Settings) Same(other Settings) bool {
	return bytes.Equal(s.Config, other.Config) && maps.Equal(s.Environment, other.Environment) && s.Command == other.Command &&
		s.Warm == other.Warm && s.MaxMemory == other.MaxMemory && s.MaxProcesses == other.MaxProcesses
}

// DefaultSettings are enabled, with the plugin's own choices.
func DefaultSettings(string) Settings { return Settings{Enabled: true, Warm: -1} }

// Timings bound everything that is waited for.
type Timings struct {
	// Handshake bounds the start of a process; 10 s.
	Handshake time.Duration
	// Describe bounds the first call; 2 s.
	Describe time.Duration
	// Configure bounds the second; 10 s.
	Configure time.Duration
	// Health bounds the first question after it; 5 s.
	Health time.Duration
	// Models bounds ListModels; 5 s. The first start waits for the models, later
	// ones keep the old list meanwhile.
	Models time.Duration
	// HealthEvery is how often plugins are polled; 10 s.
	HealthEvery time.Duration
	// HealthDeadline bounds a poll; 3 s.
	HealthDeadline time.Duration
	// DeepEvery is how often a backend that is not ready is looked at closely, so
	// that an installed CLI or a login is noticed; 30 s.
	DeepEvery time.Duration
	// ModelsEvery is how often models are listed; 60 s.
	ModelsEvery time.Duration
	// Acquire is how long Acquire waits for a plugin that is being started; 10 s.
	Acquire time.Duration
	// Backoff is the wait after the second crash in a row, doubled with each
	// further one; 0.5 s. The first crash is followed by a start at once.
	Backoff time.Duration
	// BackoffMost is its limit; 60 s.
	BackoffMost time.Duration
	// Reset is how long a plugin must be ready for its crashes to be forgotten;
	// 5 min.
	Reset time.Duration
	// CrashWindow is the time in which CrashMost crashes lead to quarantine; 10 min.
	CrashWindow time.Duration
	// Drain bounds how long a plugin that was replaced finishes its turns; 15 min.
	Drain time.Duration
	// Shutdown bounds the polite end of a process; 2 s.
	Shutdown time.Duration
	// Watch is how often memory and processes are measured; 1 s.
	Watch time.Duration
	// Relief is how long each step against a backend that uses too much is given to
	// show; 3 s.
	Relief time.Duration
	// ReliefFor is how long a backend keeps no spares after it used too much; 1 min,
	// doubled each time that it happens again soon.
	ReliefFor time.Duration
}

// Numbers that are not worth a setting.
const (
	// missesMost is how many polls in a row may go unanswered.
	missesMost = 3
	// crashMost is how many crashes within Timings.CrashWindow are too many.
	crashMost = 5
	// jitter spreads backoff, so that plugins that died together do not start
	// together.
	jitter = 0.2
)

func (c Config) withDefaults() Config {
	if c.Policy == nil {
		c.Policy = open{}
	}
	if c.Settings == nil {
		c.Settings = DefaultSettings
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.LookupEnv == nil {
		c.LookupEnv = os.LookupEnv
	}
	t := &c.Timings
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Handshake, 10 * time.Second},
		{&t.Describe, 2 * time.Second},
		{&t.Configure, 10 * time.Second},
		{&t.Health, 5 * time.Second},
		{&t.Models, 5 * time.Second},
		{&t.HealthEvery, 10 * time.Second},
		{&t.HealthDeadline, 3 * time.Second},
		{&t.DeepEvery, 30 * time.Second},
		{&t.ModelsEvery, 60 * time.Second},
		{&t.Acquire, 10 * time.Second},
		{&t.Backoff, 500 * time.Millisecond},
		{&t.BackoffMost, 60 * time.Second},
		{&t.Reset, 5 * time.Minute},
		{&t.CrashWindow, 10 * time.Minute},
		{&t.Drain, 15 * time.Minute},
		{&t.Shutdown, 2 * time.Second},
		{&t.Watch, time.Second},
		{&t.Relief, 3 * time.Second},
		{&t.ReliefFor, time.Minute},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return c
}

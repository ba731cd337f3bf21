package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
	"github.com/clinvk/clinvk/plugins/gemini/internal/kept"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// Defaults of the settings.
const (
	// maxProcesses: a process takes 210 MB after its start and serves one turn at
	// a time.
	maxProcesses = 8
	idleTimeout  = 5 * time.Minute
	warmDefault  = 1
)

// settings are the operator's; configSchema describes them.
type settings struct {
	Model        string `json:"model"`
	MaxProcesses int    `json:"max_processes"`
	IdleTimeout  string `json:"idle_timeout"`
	Conversation string `json:"conversation"`
}

const configSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "model": {"type": "string", "minLength": 1, "description": "Model for requests that name none."},
    "max_processes": {"type": "integer", "minimum": 1, "maximum": 64, "default": 8, "description": "Most CLI processes at a time, about 210 MB each; each serves one request at a time."},
    "idle_timeout": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "default": "5m", "description": "How long a process that is not needed is kept."},
    "conversation": {"enum": ["auto", "body", "session"], "default": "auto", "description": "How a conversation is handed to the CLI in chat mode: as the body of its request (needs an API key or Vertex AI; exact), or as a session file (works with a Google login). auto chooses by the login."}
  }
}`

// backend drives the Gemini CLI. After Configure only its atomics change.
type backend struct {
	config   plugins.Config
	settings settings
	fleet    *fleet.Fleet
	launch   fleet.Launch
	// kept are the sessions of agent mode; nil when there is no place for them.
	kept *kept.Store
	// pruned is when they were looked through last, in nanoseconds since 1970.
	pruned atomic.Int64
	cli    finder
	// failure is why a spare could not be started; empty after one was.
	failure atomic.Pointer[string]
	// closing ends the fleet once.
	closing sync.Once
}

func newBackend() *backend { return &backend{} }

func (b *backend) Describe() plugins.Description {
	return plugins.Description{
		Name: "gemini", Title: "Gemini CLI",
		Summary:  "Google's Gemini models through the Gemini CLI.",
		Homepage: "https://github.com/google-gemini/gemini-cli", License: "Apache-2.0",
		Limits:       plugins.Limits{MaxConcurrent: maxProcesses, MaxPromptBytes: 16 << 20, MaxBlobBytes: 20 << 20},
		ConfigSchema: json.RawMessage(configSchema),
		Requirements: []plugins.Requirement{{Command: command, MinVersion: minVersion, InstallHint: installCommand}},
		Environment:  environment,
	}
}

func (b *backend) Configure(_ context.Context, c plugins.Config) []plugins.Diagnostic {
	b.config = c
	b.settings = settings{MaxProcesses: maxProcesses, IdleTimeout: idleTimeout.String(), Conversation: "auto"}
	if len(c.Settings) > 0 {
		if err := json.Unmarshal(c.Settings, &b.settings); err != nil {
			return []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: "the settings cannot be read: " + err.Error()}}
		}
	}
	idle, err := time.ParseDuration(b.settings.IdleTimeout)
	if err != nil || idle <= 0 {
		return []plugins.Diagnostic{{Severity: plugins.SeverityError, Path: "/idle_timeout", Summary: "write a duration such as 5m"}}
	}
	if b.settings.Model == "" {
		b.settings.Model = c.Environment["GEMINI_MODEL"]
	}
	if b.settings.Model == "" {
		b.settings.Model = defaultModel
	}
	if err := os.MkdirAll(c.ScratchDir, 0o700); err != nil {
		return []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: "the scratch directory cannot be used: " + err.Error()}}
	}
	found := b.openKept(c.StateDir)
	warm := c.Warm
	if warm < 0 {
		warm = warmDefault
	}
	b.cli.command = c.Command
	b.launch = fleet.Launch{
		Root: c.ScratchDir, Environment: c.Environment, Links: loginLinks(c.Environment),
		UserLinks: userLinks(c.Environment), Model: b.settings.Model,
	}
	b.fleet = fleet.New(fleet.Config{
		Start: b.start, Warm: min(warm, b.settings.MaxProcesses), Max: b.settings.MaxProcesses, Idle: idle,
		OnError: func(err error) {
			text := err.Error()
			b.failure.Store(&text)
			plugins.Logger().Warn("starting the Gemini CLI ahead of need", "error", text)
		},
	})
	b.warm()
	return found
}

// launcher starts whatever CLI is installed now.
func (b *backend) launcher() (fleet.Launch, error) {
	launch := b.launch
	var err error
	launch.Command, err = b.cli.find()
	return launch, err
}

func (b *backend) start(ctx context.Context, p fleet.Profile) (*fleet.Worker, error) {
	launch, err := b.launcher()
	if err != nil {
		return nil, err
	}
	w, err := launch.Start(ctx, p)
	if err != nil {
		return nil, err
	}
	b.failure.Store(nil)
	b.cli.saw(launch.Command, w.Version())
	return w, nil
}

// warm begins to keep spares as soon as the CLI is there and logged in.
func (b *backend) warm() {
	if b.ready() != nil {
		return
	}
	if p, err := b.chatProfile(wire.Generation{}); err == nil {
		b.fleet.Warm(p)
	}
}

// Relieve ends processes that no turn uses now: a process holds no conversation
// between turns.
func (b *backend) Relieve(_ context.Context, relief plugins.Relief) error {
	if b.fleet == nil {
		return errNotConfigured
	}
	b.fleet.Relieve(relief >= plugins.ReliefSpares)
	return nil
}

// Close ends all processes.
func (b *backend) Close(context.Context) error { //nolint:unparam // as plugins.Closer has it
	if b.fleet != nil {
		b.closing.Do(b.fleet.Close)
	}
	return nil
}

// defaultModel is the model that every kind of account may use and the CLI calls
// its default flash model.
const defaultModel = "gemini-3.8-flash"

// contextWindow is what the CLI assumes of all its models, in tokens.
const contextWindow = 1 << 20

// models are those that the CLI offers; it takes any other name as well.
var models = []plugins.Model{
	{ID: defaultModel, Title: "Gemini 3.8 Flash", Aliases: []string{"flash"}, ContextWindow: contextWindow},
	{ID: "gemini-2.5-pro", Title: "Gemini 2.5 Pro", Aliases: []string{"pro"}, ContextWindow: contextWindow},
	{ID: "gemini-3.5-flash-lite", Title: "Gemini 3.5 Flash Lite", Aliases: []string{"flash-lite"}, ContextWindow: contextWindow},
	{ID: "gemini-3.1-pro-preview", Title: "Gemini 3.1 Pro (preview)", ContextWindow: contextWindow},
	{ID: "gemini-3-flash-preview", Title: "Gemini 3 Flash (preview)", ContextWindow: contextWindow},
}

// Models lists the default first, whichever the operator has made it.
func (b *backend) Models(context.Context) ([]plugins.Model, error) {
	first := plugins.Model{ID: b.settings.Model, Title: b.settings.Model}
	var rest []plugins.Model
	for _, m := range models {
		if m.ID == b.settings.Model {
			first = m
			continue
		}
		rest = append(rest, m)
	}
	first.Default = true
	return append([]plugins.Model{first}, rest...), nil
}

func (b *backend) ChatSupport() plugins.ChatSupport {
	return plugins.ChatSupport{Sampling: wire.Sampling}
}

func (b *backend) AgentSupport() plugins.AgentSupport {
	return plugins.AgentSupport{
		Approvals: []plugins.ApprovalMode{plugins.ApprovalDefault, plugins.ApprovalAuto, plugins.ApprovalNone, plugins.ApprovalAlways},
		Sandboxes: []plugins.SandboxMode{plugins.SandboxDefault, plugins.SandboxReadOnly, plugins.SandboxWorkspace, plugins.SandboxFull},
		Sampling:  wire.Sampling,
	}
}

func (b *backend) ApprovalSupport() plugins.ApprovalSupport { return plugins.ApprovalSupport{} }

func (b *backend) ToolSupport() plugins.ToolSupport {
	return plugins.ToolSupport{ForcedChoice: true, ParallelCalls: true}
}

func (b *backend) StructuredOutputSupport() plugins.StructuredOutputSupport {
	return plugins.StructuredOutputSupport{Strict: true}
}

// ReasoningSupport: calls of the client's tools come after a signature.
func (b *backend) ReasoningSupport() plugins.ReasoningSupport {
	return plugins.ReasoningSupport{Signatures: true}
}

// InputMediaTypes are those that the API takes inline.
func (b *backend) InputMediaTypes() []string {
	return []string{
		"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", "application/pdf",
		"audio/wav", "audio/mp3", "audio/mpeg", "audio/aiff", "audio/aac", "audio/ogg", "audio/flac",
		"video/mp4", "video/mpeg", "video/webm", "video/quicktime",
	}
}

var errNotConfigured = errors.New("the plugin has not been configured")

// Health says whether the CLI is installed and logged in; it never runs it.
func (b *backend) Health(_ context.Context, _ bool) (plugins.Health, error) {
	if b.fleet == nil {
		return plugins.Health{}, errNotConfigured
	}
	path, err := b.cli.find()
	if err != nil {
		return plugins.Health{State: plugins.HealthNotInstalled, Message: err.Error(), Remedy: installCommand}, nil //nolint:nilerr // the state says it
	}
	h := plugins.Health{State: plugins.HealthReady, Message: "ready"}
	if v := b.cli.version(path); v != "" {
		h.Versions = map[string]string{command: v}
	}
	switch failure := b.failure.Load(); {
	case findLogin(b.config.Environment).kind == noLogin:
		h.State, h.Message, h.Remedy = plugins.HealthUnauthenticated, notLoggedIn, loginCommand
		return h, nil
	case failure != nil:
		h.State, h.Message = plugins.HealthUnavailable, "the Gemini CLI does not start: "+*failure
	}
	b.warm()
	return h, nil
}

// ready fails with what the user has to do.
func (b *backend) ready() error {
	if b.fleet == nil {
		return errNotConfigured
	}
	if _, err := b.cli.find(); err != nil {
		return &plugins.Error{Code: plugins.CodeCLIFailure, Message: err.Error(), Err: err}
	}
	if findLogin(b.config.Environment).kind == noLogin {
		return &plugins.Error{Code: plugins.CodeUnauthenticated, Message: notLoggedIn}
	}
	return nil
}

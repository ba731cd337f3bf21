package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

const (
	packageName   = "@anthropic-ai/claude-code"
	installRemedy = "npm install -g " + packageName
	loginRemedy   = "claude auth login"

	// maxConcurrent bounds the turns at one time: a process takes about 150 MB.
	maxConcurrent = 8
	// defaultWarm is the number of spares: one is taken while the other starts.
	defaultWarm = 2
	// defaultMaxLive is the number of live conversations, each a process.
	defaultMaxLive = 4
	// defaultLiveIdle is how long a live conversation is kept without a turn.
	defaultLiveIdle = 5 * time.Minute
)

// backend drives the Claude Code CLI: one process for each conversation, started
// ahead and used once, because a process never forgets what it was told.
type backend struct {
	config   plugins.Config
	settings settings
	root     string // of the private directories of processes
	ownRoot  bool   // root is temporary and removed by Close
	cli      *installation
	state    state
	pool     *subprocess.Pool[*process]
	spares   int // all of them may have died together
	habit    habit
	// introduced says that a spare was told a system prompt.
	introduced atomic.Bool
	live       *conversations
	writers    writers
	calm       calm
	count      atomic.Uint64

	ctx    context.Context //nolint:containedctx // the life of the backend, ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // processes that are being ended
}

// settings are the backend's options in the configuration.
type settings struct {
	// MaxLive is the number of live conversations; 0: none.
	MaxLive *int `json:"max_live"`
	// LiveIdleSecs is how long one is kept without a turn.
	LiveIdleSecs *int `json:"live_idle_secs"`
	// AllowedTools run in agent mode without asking, as in "Bash(git log:*)".
	AllowedTools []string `json:"allowed_tools"`
}

const configSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "max_live": {
      "type": "integer", "minimum": 0, "maximum": 64,
      "description": "conversations kept in memory between turns, about 150 MB each (default 4)"
    },
    "live_idle_secs": {
      "type": "integer", "minimum": 1, "maximum": 86400,
      "description": "how long such a conversation is kept without a turn (default 300)"
    },
    "allowed_tools": {
      "type": "array", "items": {"type": "string", "minLength": 1, "pattern": "^[^-]"},
      "description": "tools that run in agent mode without asking, for example Bash(git log:*)"
    }
  }
}`

func newBackend() *backend {
	b := &backend{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

func (*backend) Describe() plugins.Description {
	return plugins.Description{
		Name:         "claude",
		Title:        "Claude Code",
		Summary:      "Answers with the Claude Code CLI, as the user who is logged in.",
		Homepage:     "https://github.com/clinvk/clinvk",
		License:      "MIT",
		Limits:       plugins.Limits{MaxConcurrent: maxConcurrent, MaxPromptBytes: 32 << 20, MaxBlobBytes: 32 << 20},
		ConfigSchema: json.RawMessage(configSchema),
		Requirements: []plugins.Requirement{{Command: "claude", MinVersion: "2.1.197", InstallHint: installRemedy}},
		Environment: []string{
			envAPIKey, envAuthToken, "ANTHROPIC_BASE_URL", "CLAUDE_CODE_OAUTH_TOKEN", envConfigDir,
		},
	}
}

// ChatSupport leaves stop to the host, as the API does not take all sequences.
func (*backend) ChatSupport() plugins.ChatSupport {
	return plugins.ChatSupport{Sampling: []string{
		"temperature", "top_p", "top_k", "max_output_tokens", "reasoning_effort", "reasoning_tokens",
	}}
}

func (*backend) AgentSupport() plugins.AgentSupport {
	return plugins.AgentSupport{
		Approvals: []plugins.ApprovalMode{plugins.ApprovalDefault, plugins.ApprovalAuto, plugins.ApprovalNone, plugins.ApprovalAlways},
		Sandboxes: []plugins.SandboxMode{plugins.SandboxDefault, plugins.SandboxReadOnly, plugins.SandboxWorkspace, plugins.SandboxFull},
		Sampling:  []string{"reasoning_effort"},
	}
}

func (*backend) ApprovalSupport() plugins.ApprovalSupport { return plugins.ApprovalSupport{} }

func (*backend) ToolSupport() plugins.ToolSupport {
	return plugins.ToolSupport{ForcedChoice: true, ParallelCalls: true}
}

func (*backend) ReasoningSupport() plugins.ReasoningSupport {
	return plugins.ReasoningSupport{Signatures: true}
}

// StructuredOutputSupport is strict: the provider itself enforces the schema, for which
// an agent between its tools has no place.
func (*backend) StructuredOutputSupport() plugins.StructuredOutputSupport {
	return plugins.StructuredOutputSupport{Strict: true, ChatOnly: true, ClosedObjects: true, RefusedKeywords: refusedKeywords}
}

// refusedKeywords are those that Anthropic's documentation of structured outputs lists
// as not supported (November 2026).
var refusedKeywords = []string{
	"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "maxItems", "minItems",
	"uniqueItems", "contains", "minContains", "maxContains", "patternProperties", "propertyNames", "minProperties", "maxProperties",
	"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems",
}

func (*backend) LiveSupport() plugins.LiveSupport {
	return plugins.LiveSupport{IdleTimeout: defaultLiveIdle}
}

func (*backend) InputMediaTypes() []string {
	return []string{"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"}
}

// Configure takes the settings and begins to start spares.
func (b *backend) Configure(_ context.Context, config plugins.Config) []plugins.Diagnostic {
	b.config = config
	if len(config.Settings) > 0 {
		if err := json.Unmarshal(config.Settings, &b.settings); err != nil {
			return failed("the options are not as the schema says", err)
		}
	}
	if err := b.prepareRoot(); err != nil {
		return failed("no private directory for the CLI's processes", err)
	}
	b.cli = newInstallation(config)
	maxLive, idle := defaultMaxLive, defaultLiveIdle
	if n := b.settings.MaxLive; n != nil {
		maxLive = *n
	}
	if n := b.settings.LiveIdleSecs; n != nil {
		idle = time.Duration(*n) * time.Second
	}
	b.live = newConversations(maxLive, idle, b.end)
	warm := config.Warm
	if warm < 0 {
		warm = defaultWarm
	}
	b.spares = warm
	b.pool = subprocess.NewPool(subprocess.PoolConfig[*process]{
		Size:  warm,
		Start: b.startSpare,
		Stop: func(p *process) {
			b.forget(p)
			p.stop()
		},
		Dead: func(p *process) <-chan struct{} { return p.proc.Done() },
		OnError: func(err error) {
			plugins.Logger().Debug("starting a spare process", "error", err)
		},
	})
	return nil
}

func failed(summary string, err error) []plugins.Diagnostic {
	return []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: summary, Detail: err.Error()}}
}

func (b *backend) prepareRoot() error {
	if b.config.ScratchDir != "" {
		b.root = filepath.Join(b.config.ScratchDir, "claude")
		return os.MkdirAll(b.root, 0o700)
	}
	dir, err := os.MkdirTemp("", "clinvk-claude-")
	b.root, b.ownRoot = dir, true
	return err
}

// Relieve ends processes that nobody uses now.
func (b *backend) Relieve(_ context.Context, relief plugins.Relief) error { //nolint:unparam // as plugins.Reliever has it
	if relief >= plugins.ReliefSpares {
		b.pool.Drop()
	} else {
		b.pool.Keep()
	}
	b.live.relieve(relief >= plugins.ReliefIdle)
	return nil
}

// Close ends all processes and waits for them.
func (b *backend) Close(context.Context) error {
	b.cancel()
	if b.pool == nil {
		return nil // never configured
	}
	b.live.close()
	b.pool.Close()
	b.wg.Wait()
	if b.ownRoot {
		if err := os.RemoveAll(b.root); err != nil {
			return fmt.Errorf("removing the processes' directories: %w", err)
		}
	}
	return nil
}

// end stops a process in the background; Close waits for it.
func (b *backend) end(p *process) { b.wg.Go(p.stop) }

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

const (
	// defaultWarm threads of the default model are kept ready: a burst of that
	// many gets its first token as from a running conversation. Each costs about
	// 1 MB and one connection.
	defaultWarm = 8
	// maxConcurrent turns: 128 at once were seen to work, at about 1 MB each.
	maxConcurrent = 64
	// maxBlob bounds one image, in bytes.
	maxBlob = 20 << 20
	// maxPrompt bounds a turn's text, in bytes: 20 MiB were seen to work.
	maxPrompt = 20 << 20
	// startTime bounds the start of an app-server. It takes 0.2 s, and was seen to
	// take 14 s on a disk under load: it opens five databases.
	startTime = 30 * time.Second
	// noSocketFor is how long a model server without WebSocket is not asked again.
	noSocketFor = 10 * time.Minute
)

// errClosed is returned by turns after Close.
var errClosed = errors.New("the backend is closed")

// backend drives the Codex CLI.
type backend struct {
	log hclog.Logger

	// Set by Configure.
	settings settings
	access   access
	config   plugins.Config
	home     home
	empty    string // an empty directory
	warm     int
	checker  *checker
	chat     *keeper
	agent    *keeper
	live     *liveStore
	inUse    inUse

	// noSocketUntil is a Unix time in nanoseconds; see noSocketFor.
	noSocketUntil atomic.Int64
	// maxMemory of an app-server in bytes; see checkMemory.
	maxMemory int64

	mu      sync.Mutex
	catalog catalog
	of      program // whose catalog it is
}

func newBackend() *backend {
	return &backend{log: plugins.Logger().Named("codex"), maxMemory: maxMemory}
}

// Describe implements plugins.Backend.
func (b *backend) Describe() plugins.Description {
	return plugins.Description{
		Name: "codex", Title: "Codex", Summary: "OpenAI's models through the Codex CLI.",
		Homepage: "https://github.com/openai/codex", License: "MIT",
		Limits:       plugins.Limits{MaxConcurrent: maxConcurrent, MaxPromptBytes: maxPrompt, MaxBlobBytes: maxBlob},
		ConfigSchema: json.RawMessage(configSchema),
		Requirements: []plugins.Requirement{{Command: "codex", MinVersion: "0.169.0", InstallHint: installCommand}},
		Environment:  []string{envOpenAIKey, envCodexKey, envBaseURL, envHome},
	}
}

// ChatSupport implements plugins.ChatMode. The CLI passes on no other setting.
func (b *backend) ChatSupport() plugins.ChatSupport {
	return plugins.ChatSupport{Sampling: []string{"reasoning_effort"}}
}

// AgentSupport implements plugins.AgentMode.
func (b *backend) AgentSupport() plugins.AgentSupport {
	return plugins.AgentSupport{
		Approvals: []plugins.ApprovalMode{plugins.ApprovalDefault, plugins.ApprovalAuto, plugins.ApprovalNone, plugins.ApprovalAlways},
		Sandboxes: []plugins.SandboxMode{plugins.SandboxDefault, plugins.SandboxReadOnly, plugins.SandboxWorkspace, plugins.SandboxFull},
		Sampling:  []string{"reasoning_effort"},
	}
}

// SessionSupport implements plugins.SessionKeeper.
func (b *backend) SessionSupport() plugins.SessionSupport {
	return plugins.SessionSupport{Fork: true, AgentOnly: true}
}

// LiveSupport implements plugins.LiveKeeper.
func (b *backend) LiveSupport() plugins.LiveSupport {
	return plugins.LiveSupport{IdleTimeout: liveIdle}
}

// ApprovalSupport implements plugins.Approver.
func (b *backend) ApprovalSupport() plugins.ApprovalSupport { return plugins.ApprovalSupport{} }

// StructuredOutputSupport implements plugins.StructuredOutputter.
func (b *backend) StructuredOutputSupport() plugins.StructuredOutputSupport {
	return plugins.StructuredOutputSupport{Strict: true, ClosedObjects: true, AllRequired: true}
}

// ReasoningSupport implements plugins.Reasoner: summaries, which are signed when the
// client has tools.
func (b *backend) ReasoningSupport() plugins.ReasoningSupport {
	return plugins.ReasoningSupport{Signatures: true}
}

// InputMediaTypes implements plugins.MediaReader.
func (b *backend) InputMediaTypes() []string { return imageTypes }

// Configure implements plugins.Configurer.
func (b *backend) Configure(_ context.Context, c plugins.Config) []plugins.Diagnostic {
	s, found := parseSettings(c.Settings)
	if len(found) > 0 {
		return found
	}
	b.settings, b.config, b.access = s, c, newAccess(c.Environment)
	b.home = home{dir: filepath.Join(c.StateDir, "home")}
	b.empty = filepath.Join(c.ScratchDir, "empty")
	if err := os.MkdirAll(b.empty, 0o700); err != nil {
		return []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: fmt.Sprintf("making a working directory: %v", err)}}
	}
	if err := b.home.trim(); err != nil {
		b.log.Warn("trimming the CLI's log", "error", err)
	}
	if b.warm = c.Warm; b.warm < 0 {
		b.warm = defaultWarm
	}
	b.checker = &checker{command: c.Command, access: b.access, granted: c.Environment}
	b.live = newLiveStore(liveIdle, maxLive)
	report := func(err error) { b.log.Debug("starting codex app-server", "error", err) }
	eager := b.warm > 0
	b.chat = newKeeper(b.startChat, eager, b.live.dropOf, report)
	b.agent = newKeeper(b.startAgent, eager, nil, report)
	if eager {
		b.chat.prepare()
		b.agent.prepare()
	}
	return nil
}

// Health implements plugins.Backend.
func (b *backend) Health(ctx context.Context, deep bool) (plugins.Health, error) {
	h, _ := b.checker.check(ctx, deep)
	return h, nil
}

// Models implements plugins.Backend.
func (b *backend) Models(ctx context.Context) ([]plugins.Model, error) {
	_, p := b.checker.check(ctx, false)
	if p.path == "" {
		return nil, plugins.Errorf(plugins.CodeCLIFailure, "%w; run: %s", errNotInstalled, installCommand)
	}
	c, err := b.knownModels(ctx, p)
	if err != nil {
		return nil, err
	}
	models := append([]plugins.Model(nil), c.models...)
	if at := indexModel(models, b.settings.Model); at > 0 {
		first := models[at]
		copy(models[1:at+1], models[:at])
		models[0] = first
	} else if at < 0 && b.settings.Model != "" {
		models = append([]plugins.Model{{ID: b.settings.Model}}, models...)
	}
	models[0].Default = true
	return models, nil
}

func indexModel(models []plugins.Model, id string) int {
	for i, m := range models {
		if m.ID == id {
			return i
		}
	}
	return -1
}

// knownModels is the catalog of p, asked for once.
func (b *backend) knownModels(ctx context.Context, p program) (catalog, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == p {
		return b.catalog, nil
	}
	c, err := loadCatalog(ctx, p, b.checker.env(), filepath.Join(b.config.StateDir, "models.json"))
	if err != nil {
		return catalog{}, err
	}
	b.catalog, b.of = c, p
	return c, nil
}

// defaultModel of chat mode.
func (b *backend) defaultModel() string {
	if b.settings.Model != "" {
		return b.settings.Model
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.catalog.models) == 0 {
		return ""
	}
	return b.catalog.models[0].ID
}

// isLite says whether a model has its tools in a namespace.
func (b *backend) isLite(model string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.catalog.lite[model]
}

// startChat starts the app-server of chat mode, in a home of its own.
func (b *backend) startChat(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p, err := b.checker.ready(ctx)
	if err != nil {
		return nil, err
	}
	c, err := b.knownModels(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.home.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the private home of the CLI: %w", err)
	}
	if err := writeFile(b.home.catalog(), c.chat); err != nil {
		return nil, fmt.Errorf("writing the CLI's models: %w", err)
	}
	if err := b.home.write(b.access, b.defaultModel()); err != nil {
		return nil, err
	}
	client, err := appserver.Start(ctx, b.chatLaunch(p))
	if err != nil {
		return nil, err
	}
	i := &instance{client: client, threads: newThreads(client, b.warm, b.empty)}
	i.threads.warm(kind{b.defaultModel(), b.provider()})
	return i, nil
}

// startAgent starts the app-server of agent mode, in the user's own home.
func (b *backend) startAgent(ctx context.Context) (*instance, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	p, err := b.checker.ready(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.access.userHome, 0o700); err != nil { // as the CLI itself does
		return nil, fmt.Errorf("making the home of the CLI: %w", err)
	}
	client, err := appserver.Start(ctx, b.agentLaunch(p, b.access))
	if err != nil {
		return nil, err
	}
	return &instance{client: client, threads: newThreads(client, 0, b.empty)}, nil
}

// provider is the one to start threads with now.
func (b *backend) provider() string {
	if b.settings.Transport == transportSSE || time.Now().UnixNano() < b.noSocketUntil.Load() {
		return providerEvents
	}
	return providerSocket
}

// Relieve implements plugins.Reliever. An app-server that no turn and no
// conversation uses is a spare as well: 85 MB.
func (b *backend) Relieve(_ context.Context, relief plugins.Relief) error { //nolint:unparam // the interface has it
	spares, idle := relief >= plugins.ReliefSpares, relief >= plugins.ReliefIdle
	b.live.relieve(idle)
	b.chat.relieve(spares)
	b.agent.relieve(spares)
	return nil
}

// Close implements plugins.Closer.
func (b *backend) Close(context.Context) error { //nolint:unparam // the interface has it
	if b.checker == nil {
		return nil // never configured
	}
	b.live.close()
	var wg sync.WaitGroup
	wg.Go(b.chat.close)
	wg.Go(b.agent.close)
	wg.Wait()
	return nil
}

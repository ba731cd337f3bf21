package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/engine/gate"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
	"github.com/clinvk/clinvk/host/httpapi/rest"
	"github.com/clinvk/clinvk/host/runner"
	"github.com/clinvk/clinvk/host/supervisor"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// live is what settings make. It is built as a whole beside the one that holds, and then
// takes its place; requests that run keep the one that they began with.
type live struct {
	settings *config.Config
	plugins  *Plugins
	media    *media.Fetcher
	limiter  *httpapi.Limiter // nil: requests are not bounded
	handler  *httpapi.Server
	loaded   time.Time
}

// build completes l. What is the same in old, nil for none, is taken over with what it
// remembers.
func (h *Host) build(l, old *live, keys []apikeys.Key) (err error) {
	s := l.settings.Server
	if old != nil && slices.Equal(s.FetchRemoteMedia, old.settings.Server.FetchRemoteMedia) {
		l.media = old.media
	} else {
		l.media = media.New(media.Config{Hosts: s.FetchRemoteMedia})
	}
	switch {
	case !s.RateLimitEnabled:
	case old != nil && old.limiter != nil && sameRates(s, old.settings.Server):
		l.limiter = old.limiter
	default:
		l.limiter = newLimiter(s)
	}
	l.handler, err = h.newHandler(l, httpapi.NewKeys(keys))
	return err
}

func sameRates(a, b config.Server) bool {
	return a.RateLimitRPS == b.RateLimitRPS && a.RateLimitBurst == b.RateLimitBurst && a.RateLimitCleanupSecs == b.RateLimitCleanupSecs &&
		slices.Equal(a.TrustedProxies, b.TrustedProxies)
}

func newLimiter(s config.Server) *httpapi.Limiter {
	c := httpapi.LimiterConfig{Rate: s.RateLimitRPS, Burst: s.RateLimitBurst, Forget: seconds(s.RateLimitCleanupSecs)}
	for _, p := range s.TrustedProxies {
		if prefix, err := config.ParseProxy(p); err == nil { // the configuration was checked
			c.Proxies = append(c.Proxies, prefix)
		}
	}
	return httpapi.NewLimiter(c)
}

// keys loads the API keys; where a key of the settings is wrong the error says which.
func (h *Host) keys(ctx context.Context, s *config.Config) ([]apikeys.Key, error) {
	if h.config.Keys == nil {
		return nil, nil
	}
	keys, err := h.config.Keys(ctx, s)
	if source, ok := errors.AsType[*apikeys.Error](err); ok && len(source.Key) > 0 {
		return nil, s.Mistakes(s.Mistake(source.Key, "cannot be used: %v", source.Err))
	}
	return keys, err
}

// policy is the one of the settings that hold.
type policy struct{ host *Host }

func (p policy) current() supervisor.Policy { return p.host.live.Load().plugins.Policy }

func (p policy) Admit(ctx context.Context, e catalog.Entry, sha256 string) (catalog.Trust, error) {
	return p.current().Admit(ctx, e, sha256)
}

func (p policy) Granted(e catalog.Entry, sha256, variable string) bool {
	return p.current().Granted(e, sha256, variable)
}

func (p policy) Ready(ctx context.Context, e catalog.Entry, sha256 string, d *backendv1.DescribeResponse) {
	p.current().Ready(ctx, e, sha256, d)
}

// settings of one backend for the supervisor.
func (h *Host) settings(c *config.Config, name string) supervisor.Settings {
	b := c.Backends[name]
	s := supervisor.Settings{
		Enabled: b.Enabled == nil || *b.Enabled, Environment: b.Env, Command: b.Command, Warm: -1,
	}
	s.MaxMemory, s.MaxProcesses = walls(c.LimitsOf(name), runner.MachineMemory())
	if b.Warm != nil {
		s.Warm = *b.Warm
	}
	if h.config.Timings.Drain <= 0 { // what is replaced or removed finishes its turns, the longest too
		s.Drain = cmp.Or(seconds(c.Server.RequestTimeoutSecs), engine.DefaultTimeout)
	}
	if given := c.OptionsOf(name); len(given) > 0 {
		options, err := json.Marshal(given)
		if err != nil { // a YAML map with keys that are no strings
			h.log.Error("options of a backend are no JSON object and were ignored", "backend", name, "error", err)
		}
		s.Config = options
		s.Check = func(d *backendv1.DescribeResponse) error { return h.checkOptions(c, name, d) }
	}
	return s
}

// checkOptions holds a backend's options against what its plugin says of them. A schema
// that cannot be read is the plugin's mistake, and leaves the check to it.
func (h *Host) checkOptions(c *config.Config, name string, d *backendv1.DescribeResponse) error {
	err := c.CheckOptions(name, d.GetConfigSchema())
	if _, ok := errors.AsType[*config.Error](err); ok || err == nil {
		return err
	}
	h.log.Warn("options are not checked", "backend", name, "error", err)
	return nil
}

// engineConfig is what the engine needs of the settings.
func (h *Host) engineConfig(s *config.Config) engine.Config {
	return engine.Config{
		Backends: backends{h.supervisor}, DefaultBackend: s.DefaultBackend, DefaultModels: models(s.Backends), Aliases: aliases(s.Models),
		Timeout: seconds(s.Server.RequestTimeoutSecs), Logger: h.log, Observe: h.observeTurn(),
		WorkingDirs: engine.WorkingDirs{Allowed: s.Server.AllowedWorkdirPrefixes, Blocked: s.Server.BlockedWorkdirPrefixes},
		Limits: func(backend string) gate.Limits {
			l := s.LimitsOf(backend)
			return gate.Limits{MaxConcurrent: l.MaxConcurrent, MaxQueue: l.MaxQueue, QueueTimeout: seconds(l.QueueTimeoutSecs)}
		},
		Agents: func(backend string) engine.AgentDefaults { return agentDefaults(s.UnifiedFlags, s.Backends[backend]) },
	}
}

// agentDefaults are a backend's own, and where it has none those of all.
func agentDefaults(all config.UnifiedFlags, own config.Backend) engine.AgentDefaults {
	const nothing = "default" // as when nothing was said
	d := engine.AgentDefaults{System: cmp.Or(own.SystemPrompt, all.SystemPrompt), ExtraArguments: own.ExtraFlags}
	if mode := cmp.Or(own.ApprovalMode, all.ApprovalMode); mode != nothing {
		d.Approval = engine.ParseApproval(mode)
	}
	if mode := cmp.Or(own.SandboxMode, all.SandboxMode); mode != nothing {
		d.Sandbox = engine.ParseSandbox(mode)
	}
	return d
}

func promptDefaults(f config.UnifiedFlags) rest.Defaults {
	return rest.Defaults{
		OutputFormat: f.OutputFormat, MaxTurns: f.MaxTurns, MaxTokens: f.MaxTokens, Timeout: seconds(f.CommandTimeoutSecs),
		DryRun: f.DryRun,
	}
}

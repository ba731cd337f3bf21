package config

import (
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Values of keys that are names.
var (
	modeNames     = []string{"chat", "agent"}
	approvalNames = []string{"default", "auto", "none", "always"}
	sandboxNames  = []string{"default", "read-only", "workspace", "full"}
	trustNames    = []string{"permissions", "lock"}
	formatNames   = []string{"text", "json", "stream-json"}
)

// least are the lowest walls that a backend could live in: a plugin alone needs 20
// to 40 MiB, and is one process besides its CLI's.
const (
	leastMemoryMB  = 64
	leastProcesses = 4
	maxPort        = 65535
	maxWorkers     = 64
)

// reporter takes what is wrong with the value of a key.
type reporter func(key Key, format string, args ...any)

// check reports values that make no sense.
func (c *Config) check(bad reporter) {
	c.Server.check(bad)
	if n := c.Parallel.MaxWorkers; n < 0 || n > maxWorkers {
		bad(Key{"parallel", "max_workers"}, "is %d; it must be between 0 (3) and %d", n, maxWorkers)
	}
	oneOf(bad, Key{"plugins", "trust"}, c.Plugins.Trust, trustNames)
	c.UnifiedFlags.check(bad)
	oneOf(bad, Key{"output", "format"}, c.Output.Format, formatNames)
	if n := c.Session.RetentionDays; n != nil && *n < 0 {
		bad(Key{"session", "retention_days"}, "must not be negative")
	}
	c.Limits.check(Key{"limits"}, bad)
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		c.Models[name].check(Key{"models", name}, bad)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Backends)) {
		b, at := c.Backends[name], Key{"backends", name}
		if b.Warm != nil && *b.Warm < 0 {
			bad(at.Child("warm"), "must not be negative")
		}
		if b.Limits != nil {
			b.Limits.check(at.Child("limits"), bad)
		}
		oneOf(bad, at.Child("approval_mode"), b.ApprovalMode, approvalNames)
		oneOf(bad, at.Child("sandbox_mode"), b.SandboxMode, sandboxNames)
		if _, twice := b.Options[optionAllowedTools]; twice && b.AllowedTools != "" {
			bad(at.Child("allowed_tools"), "is set, and so is options.%s; one of them is enough", optionAllowedTools)
		}
	}
}

func (u UnifiedFlags) check(bad reporter) {
	at := Key{"unified_flags"}
	oneOf(bad, at.Child("approval_mode"), u.ApprovalMode, approvalNames)
	oneOf(bad, at.Child("sandbox_mode"), u.SandboxMode, sandboxNames)
	oneOf(bad, at.Child("output_format"), u.OutputFormat, append([]string{"default"}, formatNames...))
	notNegative(bad, at, []number{
		{"max_turns", float64(u.MaxTurns)}, {"max_tokens", float64(u.MaxTokens)}, {"command_timeout_secs", u.CommandTimeoutSecs},
	})
}

// number is the value of a key that is one.
type number struct {
	name  string
	value float64
}

func notNegative(bad reporter, at Key, numbers []number) {
	for _, n := range numbers {
		if n.value < 0 {
			bad(at.Child(n.name), "must not be negative")
		}
	}
}

func (s Server) check(bad reporter) {
	at := Key{"server"}
	if p := s.Port; p != nil && (*p < 0 || *p > maxPort) {
		bad(at.Child("port"), "is %d; it must be between 0 and %d", *p, maxPort)
	}
	if slices.Contains(s.CORSAllowedOrigins, "*") {
		bad(at.Child("cors_allowed_origins"), `must name origins; "*" would let every web page run agents`)
	}
	for _, h := range s.FetchRemoteMedia {
		if !isHost(h) {
			bad(at.Child("fetch_remote_media"), "has %q; it must list hosts such as images.example.com, 10.0.0.5 or localhost:9000", h)
		}
	}
	notNegative(bad, at, []number{
		{"max_request_body_bytes", float64(s.MaxRequestBodyBytes)}, {"request_timeout_secs", s.RequestTimeoutSecs},
		{"read_timeout_secs", s.ReadTimeoutSecs}, {"write_timeout_secs", s.WriteTimeoutSecs},
		{"idle_timeout_secs", s.IdleTimeoutSecs}, {"cors_max_age", float64(s.CORSMaxAge)},
		{"rate_limit_cleanup_secs", s.RateLimitCleanupSecs},
	})
	s.checkRates(bad)
	for name, prefixes := range map[string][]string{
		"allowed_workdir_prefixes": s.AllowedWorkdirPrefixes, "blocked_workdir_prefixes": s.BlockedWorkdirPrefixes,
	} {
		for _, p := range prefixes {
			if !filepath.IsAbs(p) {
				bad(at.Child(name), "holds %q; it must be an absolute path", p)
			}
		}
	}
}

// checkRates looks at the limit on requests, and at who is asked whom they come from.
func (s Server) checkRates(bad reporter) {
	at := Key{"server"}
	if s.RateLimitEnabled {
		for _, n := range []number{
			{"rate_limit_rps", s.RateLimitRPS}, {"rate_limit_burst", float64(s.RateLimitBurst)},
		} {
			if n.value <= 0 {
				bad(at.Child(n.name), "is %g; it must be more than 0", n.value)
			}
		}
	}
	for _, p := range s.TrustedProxies {
		if _, err := ParseProxy(p); err != nil {
			bad(at.Child("trusted_proxies"), "has %q; it must list addresses and networks such as 10.0.0.5 or 10.0.0.0/8", p)
		}
	}
	if p := s.APIKeysFile; p != "" && !filepath.IsAbs(p) && !strings.HasPrefix(p, "~/") {
		bad(at.Child("api_keys_file"), "is %q; it must be an absolute path, or begin with ~/", p)
	}
	if strings.HasPrefix(s.APIKeysGopassPath, "-") {
		bad(at.Child("api_keys_gopass_path"), "must not begin with a dash")
	}
}

// ParseProxy reads an element of server.trusted_proxies.
func ParseProxy(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(s)
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?$`)

// isHost says whether s names a host, or an address, and maybe a port.
func isHost(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "80"
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > maxPort {
		return false
	}
	return hostName.MatchString(host) || net.ParseIP(host) != nil
}

func (a Alias) check(at Key, bad reporter) {
	if a.Backend == "" {
		bad(at.Child("backend"), "is required")
	}
	oneOf(bad, at.Child("mode"), a.Mode, modeNames)
	oneOf(bad, at.Child("approval_mode"), a.ApprovalMode, approvalNames)
	oneOf(bad, at.Child("sandbox_mode"), a.SandboxMode, sandboxNames)
	if a.Workdir != "" && !filepath.IsAbs(a.Workdir) {
		bad(at.Child("workdir"), "must be an absolute path")
	}
}

func (l Limits) check(at Key, bad reporter) {
	if l.MaxConcurrent < 0 {
		bad(at.Child("max_concurrent"), "must not be negative")
	}
	if l.QueueTimeoutSecs < 0 {
		bad(at.Child("queue_timeout_secs"), "must not be negative")
	}
	if n := l.MaxMemoryMB; n < -1 || n > 0 && n < leastMemoryMB {
		bad(at.Child("max_memory_mb"), "is %d; it must be -1 (no limit), 0 (half of the machine) or at least %d", n, leastMemoryMB)
	}
	if n := l.MaxProcesses; n < -1 || n > 0 && n < leastProcesses {
		bad(at.Child("max_processes"), "is %d; it must be -1 (no limit), 0 (512) or at least %d", n, leastProcesses)
	}
}

// oneOf reports a name that is not allowed; none is.
func oneOf(bad reporter, key Key, value string, allowed []string) {
	if value != "" && !slices.Contains(allowed, value) {
		bad(key, "is %q; it must be one of %s", value, strings.Join(allowed, ", "))
	}
}

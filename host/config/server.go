package config

// Server is server.
type Server struct {
	// Host to listen on; empty: 127.0.0.1.
	Host string `yaml:"host"`
	// Port to listen on; absent: 8080; 0: a free one.
	Port *int `yaml:"port"`
	// APIKeysFile holds API keys, one a line: see docs/configuration.md.
	APIKeysFile string `yaml:"api_keys_file"`
	// APIKeysGopassPath names an entry of gopass with keys, as in the file.
	APIKeysGopassPath string `yaml:"api_keys_gopass_path"`
	// RateLimitEnabled bounds the requests of each key, or of each address without one.
	RateLimitEnabled bool `yaml:"rate_limit_enabled"`
	// RateLimitRPS is how many a second there may be in the long run; absent: 10.
	RateLimitRPS float64 `yaml:"rate_limit_rps"`
	// RateLimitBurst is how many there may be at once; absent: 20.
	RateLimitBurst int `yaml:"rate_limit_burst"`
	// RateLimitCleanupSecs is how long one that asks no more is remembered; 0: 180.
	RateLimitCleanupSecs float64 `yaml:"rate_limit_cleanup_secs"`
	// TrustedProxies are addresses and networks (10.0.0.0/8) whose X-Forwarded-For and
	// Forwarded headers are believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// MetricsEnabled offers GET /metrics.
	MetricsEnabled bool `yaml:"metrics_enabled"`
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

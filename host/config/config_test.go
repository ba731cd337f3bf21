package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, file string, env map[string]string) (*Config, error) {
	t.Helper()
	home := t.TempDir()
	if file != "" {
		if err := os.WriteFile(filepath.Join(home, "config.yaml"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load("", func(name string) string {
		if name == "CLINVK_HOME" {
			return home
		}
		return env[name]
	})
}

func TestDefaults(t *testing.T) {
	c, err := load(t, "", nil)
	if err != nil || c.Path != "" || c.DefaultBackend != "" {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestFileAndEnvironment(t *testing.T) {
	c, err := load(t, `
default_backend: claude
backends:
  claude: {command: /opt/claude, env: {KEY: "a-${env:SECRET}", PLAIN: "${x}"}, warm: 0}
models:
  fast: {backend: claude, model: haiku, mode: agent}
server: {port: 9000}
`, map[string]string{"SECRET": "s", "CLINVK_SERVER_PORT": "0", "CLINVK_API_KEYS": " a, b,"})
	if err != nil {
		t.Fatal(err)
	}
	b := c.Backends["claude"]
	if b.Env["KEY"] != "a-s" || b.Env["PLAIN"] != "${x}" || *b.Warm != 0 || *c.Server.Port != 0 || len(c.APIKeys) != 2 {
		t.Errorf("%+v %+v", b, c)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"unknown key", "server:\n  prot: 1\n", "line 2: field prot not found"},
		{"wrong type", "server:\n  port: x\n", "line 2"},
		{"no yaml", "a: [", "did not find"},
		{"range", "server: {port: 70000}", "between 0 and 65535"},
		{"wildcard", `server: {cors_allowed_origins: ["*"]}`, "every web page"},
		{"link", `server: {fetch_remote_media: ["https://a.example"]}`, `server.fetch_remote_media has "https://a.example"; it must list hosts`},
		{"turns", "limits: {max_concurrent: -1}", "limits.max_concurrent must not be negative"},
		{"queue", "limits: {queue_timeout_secs: -1}", "limits.queue_timeout_secs must not be negative"},
		{"no number", "limits: {max_memory_mb: 2GB}", "line 1"},
		{"memory", "backends: {b: {limits: {max_memory_mb: 10}}}", "backends.b.limits.max_memory_mb is 10; it must be -1"},
		{"memory below none", "limits: {max_memory_mb: -2}", "limits.max_memory_mb is -2"},
		{"processes", "limits: {max_processes: 1}", "limits.max_processes is 1"},
		{"trust", "plugins: {trust: everybody}", `plugins.trust is "everybody"; it must be one of permissions, lock`},
		{"alias", "models: {x: {mode: fast}}", "models.x.backend is required"},
		{"alias mode", "models: {x: {backend: b, mode: fast}}", `models.x.mode is "fast"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.file, nil)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "config.yaml") {
				t.Errorf("err = %v", err)
			}
		})
	}
	if _, err := load(t, "", map[string]string{"CLINVK_SERVER_PORT": "x"}); err == nil {
		t.Error("a bad variable passed")
	}
	if _, err := Load("/does/not/exist.yaml", func(string) string { return "" }); err == nil {
		t.Error("a named file that is missing passed")
	}
}

func TestLimitsOfABackend(t *testing.T) {
	c, err := load(t, `
limits: {max_concurrent: 3, max_memory_mb: 500}
backends:
  own: {limits: {max_memory_mb: -1, max_processes: 9}}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.LimitsOf("own"), (Limits{MaxConcurrent: 3, MaxMemoryMB: -1, MaxProcesses: 9}); got != want {
		t.Errorf("own: %+v, want %+v", got, want)
	}
	if got := c.LimitsOf("other"); got != c.Limits {
		t.Errorf("other: %+v", got)
	}
}

func TestHostsOfMedia(t *testing.T) {
	for host, want := range map[string]bool{
		"images.example.com": true, "localhost": true, "localhost:9000": true, "10.0.0.5": true, "::1": true, "[::1]:80": true, "a_b.lan": true,
		"": false, "*": false, "*.example.com": false, "http://a.example": false, "a.example/x": false, "a:0": false, "a:http": false,
		"a:70000": false, "u@a.example": false, "-a": false, "a b": false,
	} {
		if got := isHost(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

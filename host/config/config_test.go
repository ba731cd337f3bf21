package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// load reads a file (none when it is empty) with these variables.
func load(t *testing.T, file string, env ...string) (*Config, error) {
	t.Helper()
	home := t.TempDir()
	if file != "" {
		write(t, filepath.Join(home, "config.yaml"), file)
	}
	return Load("", append(env, "CLINVK_HOME="+home))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaults(t *testing.T) {
	for _, file := range []string{"", "# nothing\n", "---\n", "{}\n"} {
		c, err := load(t, file)
		if err != nil {
			t.Fatalf("%q: %v", file, err)
		}
		if c.DefaultBackend != "" || *c.Server.Port != DefaultPort || c.Server.Host != DefaultHost || c.Plugins.Trust != "permissions" {
			t.Errorf("%q: %+v", file, c)
		}
		if (c.Path == "") != (file == "") {
			t.Errorf("%q: path %q", file, c.Path)
		}
	}
}

func TestFileAndEnvironment(t *testing.T) {
	c, err := load(t, `
default_backend: claude
shared: &shared {}
`)
	if err == nil {
		t.Fatalf("an anchor that is no key passed: %+v", c)
	}
	c, err = load(t, `
default_backend: claude
backends:
  claude: &claude {command: /opt/claude, env: {KEY: "a-${env:SECRET}", PLAIN: "${x}", NUMBER: 7}, warm: 0, options: {deep: {list: [1, a, null]}}}
  other: {<<: *claude, warm: 2}
  bare:
models:
  fast: {backend: claude, model: haiku, mode: agent}
  gpt-5.5: {backend: codex}
server: {port: 9000, cors_allowed_origins: [http://a, http://b], request_timeout_secs: 5}
`, "SECRET=s", "CLINVK_SERVER_PORT=0", "CLINVK_API_KEYS= a, b,", "CLINVK_BACKEND=codex",
		"CLINVK_SERVER_ALLOWED_HOSTS=x.lan, y.lan", "CLINVK_BACKENDS_CLAUDE_LIMITS_MAX_QUEUE=-1", "CLINVK_BACKENDS_NEW_ONE_COMMAND=/bin/new",
		"CLINVK_MODELS_GPT_5_5_MODEL=big", "CLINVK_SERVER_STRICT_PARAMS=true", "CLINVK_NO_SUCH_KEY=1", "CLINVK_SERVER=http://other")
	if err != nil {
		t.Fatal(err)
	}
	b := c.Backends["claude"]
	if diff := cmp.Diff(map[string]string{"KEY": "a-s", "PLAIN": "${x}", "NUMBER": "7"}, b.Env); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]any{"deep": map[string]any{"list": []any{1, "a", nil}}}, b.Options); diff != "" {
		t.Error(diff)
	}
	if *b.Warm != 0 || b.Limits.MaxQueue != -1 || b.Command != "/opt/claude" {
		t.Errorf("claude: %+v", b)
	}
	if other := c.Backends["other"]; *other.Warm != 2 || other.Command != "/opt/claude" {
		t.Errorf("merged: %+v", other)
	}
	if _, ok := c.Backends["bare"]; !ok || c.Backends["new-one"].Command != "/bin/new" {
		t.Errorf("backends: %+v", c.Backends)
	}
	if c.Models["gpt-5.5"] != (Alias{Backend: "codex", Model: "big"}) {
		t.Errorf("models: %+v", c.Models)
	}
	s := c.Server
	if *s.Port != 0 || s.RequestTimeoutSecs != 5 || !s.StrictParams || len(s.CORSAllowedOrigins) != 2 {
		t.Errorf("server: %+v", s)
	}
	if diff := cmp.Diff([]string{"x.lan", "y.lan"}, s.AllowedHosts); diff != "" {
		t.Error(diff)
	}
	if len(c.APIKeys) != 2 || c.DefaultBackend != "codex" {
		t.Errorf("%+v", c)
	}
}

func TestErrorsSayWhatAndWhere(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"unknown key", "server:\n  prot: 1\n", `:2:3: server.prot is not known; did you mean "port"?`},
		{"unknown key at the top", "\nservre: {}\n", `:2:1: servre is not known; did you mean "server"?`},
		{"wrong type", "server:\n  port: x\n", `:2:9: server.port is "x"; it must be a whole number`},
		{"no number", "server:\n  request_timeout_secs: NaN\n", `:2:25: server.request_timeout_secs is "NaN"; it must be a number`},
		{"endless number", "limits:\n  queue_timeout_secs: -Inf\n", `:2:23: limits.queue_timeout_secs is "-Inf"; it must be a number`},
		{"option without JSON", "backends: {b: {options: {x: .inf}}}\n", `backends.b.options.x is ".inf"; JSON has no such number`},
		{"number in quotes", "server:\n  port: \"1\"\n", `:2:9: server.port is "1"; it must be a whole number`},
		{"no boolean", "server: {strict_params: yes}", `:1:25: server.strict_params is "yes"; it must be true or false`},
		{"no members", "server: [1]", ":1:9: server must have members"},
		{"no list", "plugins: {dirs: /x}", ":1:17: plugins.dirs must be a list"},
		{"list of lists", "plugins: {dirs: [[x]]}", ":1:18: plugins.dirs must hold text only"},
		{"no scalar", "default_backend: {a: 1}", ":1:18: default_backend must be text"},
		{"twice", "server:\n  port: 1\n  port: 2\n", ":3:3: server.port is there twice"},
		{"no yaml", "a: [", "no valid YAML"},
		{"two documents", "server: {}\n---\nserver: {}\n", "more than one document"},
		{"range", "server:\n  host: a\n  port: 70000", ":3:9: server.port is 70000; it must be between 0 and 65535"},
		{"wildcard", `server: {cors_allowed_origins: ["*"]}`, "every web page"},
		{"link", `server: {fetch_remote_media: ["https://a.example"]}`, `server.fetch_remote_media has "https://a.example"; it must list hosts`},
		{"negative", "server: {idle_timeout_secs: -1}", ":1:29: server.idle_timeout_secs must not be negative"},
		{"relative", "server: {allowed_workdir_prefixes: [a]}", `holds "a"; it must be an absolute path`},
		{"turns", "limits: {max_concurrent: -1}", "limits.max_concurrent must not be negative"},
		{"queue", "limits: {queue_timeout_secs: -1}", "limits.queue_timeout_secs must not be negative"},
		{"no number", "limits: {max_memory_mb: 2GB}", `:1:25: limits.max_memory_mb is "2GB"`},
		{"memory", "backends: {b: {limits: {max_memory_mb: 10}}}", "backends.b.limits.max_memory_mb is 10; it must be -1"},
		{"memory below none", "limits: {max_memory_mb: -2}", "limits.max_memory_mb is -2"},
		{"processes", "limits: {max_processes: 1}", "limits.max_processes is 1"},
		{"trust", "plugins: {trust: everybody}", `plugins.trust is "everybody"; it must be one of permissions, lock`},
		{"alias", "models:\n  x.y: {mode: agent}", `:2:8: models."x.y".backend is required`},
		{"alias mode", "models: {x: {backend: b, mode: fast}}", `models.x.mode is "fast"`},
		{"several", "server: {port: 1.5}\nmodels: {x: 3}\n", "models.x must have members"},
		{"merge of itself", "backends: &a {x: {<<: *a}}", "config.yaml"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(t, test.file)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "config.yaml") {
				t.Errorf("err = %v", err)
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%T", err)
			}
		})
	}
}

func TestErrorsOfVariables(t *testing.T) {
	for env, want := range map[string]string{
		"CLINVK_SERVER_IDLE_TIMEOUT_SECS=Inf": `CLINVK_SERVER_IDLE_TIMEOUT_SECS: is "Inf"; it must be a number`,
		"CLINVK_SERVER_PORT=x":                `CLINVK_SERVER_PORT: is "x"; it must be a whole number`,
		"CLINVK_SERVER_PORT=70000":            "CLINVK_SERVER_PORT: server.port is 70000",
		"CLINVK_PLUGINS_TRUST=nobody":         "CLINVK_PLUGINS_TRUST: plugins.trust",
	} {
		if _, err := load(t, "", env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", env, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil {
		t.Error("a named file that is missing passed")
	}
}

func TestLimitsOfABackend(t *testing.T) {
	c, err := load(t, `
limits: {max_concurrent: 3, max_memory_mb: 500}
backends:
  own: {limits: {max_memory_mb: -1, max_processes: 9}}
`)
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

// TestEveryKeyHasAVariable: for each key that is set as a whole, its variable finds it.
func TestEveryKeyHasAVariable(t *testing.T) {
	n := 0
	var walk func(k Key, fields []field)
	walk = func(k Key, fields []field) {
		for _, f := range fields {
			at := k.Child(f.name)
			if !leaf(f.typ) {
				walk(at, fieldsOf(f.typ))
				continue
			}
			n++
			if got, _, ok := keyOf(Variable(at), nil); !ok || got.String() != at.String() {
				t.Errorf("%s sets %v, not %s", Variable(at), got, at)
			}
		}
	}
	walk(nil, fieldsOf(configType))
	backend, err := typeOf(Key{"backends", "b"})
	if err != nil {
		t.Fatal(err)
	}
	walk(Key{"backends", "b"}, fieldsOf(backend))
	if n < 25 {
		t.Errorf("only %d keys", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"server: {port: 1}", "a: &a [*a]", "models: {x: {<<: *y}}", "backends: {b: {options: {a: [1, {b: ~}]}}}", "? [a]\n: b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := build("config.yaml", "/home", []byte(s), nil)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v and %v", c, err)
		}
		if err != nil {
			return
		}
		if _, err := c.Show(); err != nil {
			t.Fatal(err)
		}
	})
}

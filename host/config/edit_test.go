package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeys(t *testing.T) {
	for s, want := range map[string]Key{
		"server.port": {"server", "port"}, `models."gpt-5.5".backend`: {"models", "gpt-5.5", "backend"}, `"a\"b"`: {`a"b`},
	} {
		got, err := ParseKey(s)
		if err != nil || cmp.Diff(want, got) != "" || got.String() != s {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
	for _, s := range []string{"", ".", "a.", "a..b", `"a`, `"a"b`} {
		if k, err := ParseKey(s); err == nil {
			t.Errorf("%q is %q", s, k)
		}
	}
}

func TestSetKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, `# my settings

server:
  # not the usual one
  port: 9000 # because of the other server
backends:
  claude: {warm: 1}
`)
	steps := []struct{ key, value string }{
		{"server.port", "9001"}, {"server.allowed_hosts", "[a.lan, b.lan]"}, {"default_backend", "claude"},
		{"backends.claude.limits.max_queue", "3"}, {`models."gpt-5.5".backend`, "codex"}, {"backends.claude.options.note", "true"},
	}
	for _, s := range steps {
		k, err := ParseKey(s.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := Set(path, k, s.value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := Unset(path, Key{"backends", "claude", "warm"}, nil); err != nil {
		t.Fatal(err)
	}
	const want = `# my settings

server:
  # not the usual one
  port: 9001 # because of the other server
  allowed_hosts: [a.lan, b.lan]
backends:
  claude: {limits: {max_queue: 3}, options: {note: true}}
default_backend: claude
models:
  gpt-5.5:
    backend: codex
`
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestChangesThroughAnAlias change a copy, and leave what the alias stands for.
func TestChangesThroughAnAlias(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, `backends:
  claude: &usual
    warm: 1
    limits: &few {max_queue: 3}
  codex: *usual # the same
  gemini:
    limits: *few
  other: *usual
`)
	for key, value := range map[string]string{"backends.codex.limits.max_concurrent": "2", "backends.gemini.limits.max_queue": "4"} {
		k, err := ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := Set(path, k, value, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := Unset(path, Key{"backends", "other", "warm"}, nil); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	one := 1
	want := map[string]Backend{
		"claude": {Warm: &one, Limits: &Limits{MaxQueue: 3}}, "codex": {Warm: &one, Limits: &Limits{MaxQueue: 3, MaxConcurrent: 2}},
		"gemini": {Limits: &Limits{MaxQueue: 4}}, "other": {Limits: &Limits{MaxQueue: 3}},
	}
	if diff := cmp.Diff(want, c.Backends); diff != "" {
		t.Error(diff)
	}
}

func TestSetRefusesWhatIsNotValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write(t, path, "# only this\n")
	for _, s := range []struct{ key, value, want string }{
		{"server.port", "70000", "between 0 and 65535"}, {"server.port", "x", "a whole number"}, {"server.prot", "1", `did you mean "port"`},
		{"server", "1", "must have members"}, {"server.port.x", "1", "server.port has no members"}, {"server.port", "[", "cannot be set"},
	} {
		k, err := ParseKey(s.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := Set(path, k, s.value, nil); err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s = %s: %v", s.key, s.value, err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "# only this\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := Set(path, Key{"default_backend"}, "echo", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "# only this\ndefault_backend: echo\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestShowTellsSourcesAndNoSecrets(t *testing.T) {
	c, err := load(t, `
server: {port: 9000}
backends:
  claude:
    env: {PLAIN: canary-1, REFERENCE: "${env:SECRET}", MIXED: "x${env:SECRET}"}
    options: {api_key: canary-2, deep: {token: canary-3, note: shown, list: [{Authorization: canary-6, text: told}], cookies: [canary-7], credentials: canary-8}}
`, "SECRET=canary-4", "CLINVK_SERVER_HOST=0.0.0.0", "CLINVK_API_KEYS=canary-5")
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, "canary") {
		t.Errorf("a secret: %s", text)
	}
	for _, want := range []string{
		"port: 9000 # " + c.Path + ":2", "host: 0.0.0.0 # CLINVK_SERVER_HOST", "idle_timeout_secs: 120 # default",
		"REFERENCE: ${env:SECRET} # ", "note: shown", "text: told",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestGet(t *testing.T) {
	c, err := load(t, "backends: {b: {warm: 2, options: {x: 1}}}\n")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"server.port": int64(DefaultPort), "backends.b.warm": int64(2), "backends.b": map[string]any{"warm": int64(2), "options": map[string]any{"x": 1}},
	} {
		k, err := ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, err := c.Get(k)
		if diff := cmp.Diff(want, got); err != nil || !ok || diff != "" {
			t.Errorf("%s: %v %v %s", key, ok, err, diff)
		}
	}
	if _, ok, err := c.Get(Key{"default_backend"}); ok || err != nil {
		t.Errorf("not set: %v, %v", ok, err)
	}
	if _, _, err := c.Get(Key{"server", "prot"}); err == nil {
		t.Error("an unknown key has a value")
	}
}

package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStrays(t *testing.T) {
	c, err := load(t, "backends: {my-own: {env: {TOKEN: \"Bearer ${env:CLINVK_MY_TOKEN}\"}}}\n",
		"CLINVK_SEVER_PORT=1", "CLINVK_BACKENDS_MY_OWN_WRAM=1", "CLINVK_BACKENDS_CLAUDE_COMAND=x", "CLINVK_HOEM=x", "CLINVK_QUITE_ANOTHER_PROGRAM=1",
		"CLINVK_HOME=/x", "CLINVK_CONFIG=", "CLINVK_DEBUG=1", "CLINVK_SERVER=x", "CLINVK_API_KEYS=x", "CLINVK_BACKEND=x", "CLINVK_PLUGIN_PATH=x",
		"CLINVK_MY_TOKEN=x", "CLINVK_INSTANCE=x", "CLINVK_TEST_HOME=x", "CLINVK_SERVER_PORT=1", "CLINVK_EMPTY=", "PATH=x")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"CLINVK_BACKENDS_CLAUDE_COMAND sets nothing; did you mean CLINVK_BACKENDS_CLAUDE_COMMAND?",
		"CLINVK_BACKENDS_MY_OWN_WRAM sets nothing; did you mean CLINVK_BACKENDS_MY_OWN_WARM?",
		"CLINVK_HOEM sets nothing; did you mean CLINVK_HOME?",
		"CLINVK_QUITE_ANOTHER_PROGRAM sets nothing",
		"CLINVK_SEVER_PORT sets nothing; did you mean CLINVK_SERVER_PORT?",
	}
	if diff := cmp.Diff(want, c.Strays()); diff != "" {
		t.Error(diff)
	}
}

func TestUnmatched(t *testing.T) {
	const named = `
default_backend: claud
backends: {codx: {warm: 1}, echo: {warm: 1}}
models: {fast: {backend: echo}, slow: {backend: gemni}}
`
	for file, want := range map[string][]string{
		named: {
			`default_backend names the backend "claud", but no such plugin was found; did you mean "claude"?`,
			`backends.codx names the backend "codx", but no such plugin was found; did you mean "codex"?`,
			`models.slow.backend names the backend "gemni", but no such plugin was found`,
		},
		"default_backend: claude/opus\n":                           nil,
		"default_backend: fast\nmodels: {fast: {backend: echo}}\n": nil,
		"default_backend: codex\nbackends: {codex: {warm: 1}}\nplugins: {allow: [echo, claued]}\n": {
			`default_backend names the backend "codex", which plugins.allow leaves out`,
			`plugins.allow names the backend "claued", but no such plugin was found`,
		},
	} {
		c, err := load(t, file)
		if err != nil {
			t.Fatal(err)
		}
		found := []string{"claude", "codex", "echo"}
		if len(c.Plugins.Allow) > 0 {
			found = []string{"echo"}
		}
		if diff := cmp.Diff(want, c.Unmatched(found)); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

func TestShortVariablesOfModels(t *testing.T) {
	c, err := load(t, "backends: {my.own: {warm: 1}}\n", "CLINVK_CLAUDE_MODEL=haiku", "CLINVK_MY_OWN_MODEL=big", "CLINVK_MODEL=x")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, b := range c.Backends {
		got[name] = b.Model
	}
	if diff := cmp.Diff(map[string]string{"claude": "haiku", "my.own": "big"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"CLINVK_MODEL sets nothing; did you mean CLINVK_BACKENDS_MY_OWN_MODEL?"}, c.Strays()); diff != "" {
		t.Error(diff)
	}
}

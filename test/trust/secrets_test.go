//go:build unix

package trust

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

// secret is a value that occurs nowhere else.
func secret(name string) string { return "canary-" + strings.ToLower(name) + "-5f1e77a0" }

// TestSecrets plants a secret in each place that may hold one and looks where it
// comes up again: at the backend that it is for, and nowhere else. Four plugins
// ask for all of them: one that the configuration gives something, one that an
// operator approved, one that nobody knows, and one that has a bundled one's name.
func TestSecrets(t *testing.T) {
	inEnvironment := []string{
		"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "APPROVED_TOKEN", "REFERRED_TOKEN", "UNASKED_SECRET", "AWS_SECRET_ACCESS_KEY", "CLINVK_API_KEYS",
	}
	gets := map[string][]string{ // what each plugin may see
		"configured": {"REFERRED_TOKEN", "CONFIGURED_PASSWORD", "OPTION_SECRET"}, "approved": {"APPROVED_TOKEN"}, "unknown": nil, "claude": nil,
	}
	home, plugins := t.TempDir(), t.TempDir()
	runtime, err := os.MkdirTemp("/tmp", "clv") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	env := map[string]string{"XDG_RUNTIME_DIR": runtime}
	for _, name := range inEnvironment {
		env[name] = secret(name)
	}
	for name := range gets {
		e := hosttest.Entry(t, hosttest.Script{Name: name, Environment: append(slices.Clone(inEnvironment), "CONFIGURED_PASSWORD", "OPTION_SECRET")})
		if err := os.Rename(e.Path, filepath.Join(plugins, filepath.Base(e.Path))); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf(`
backends:
  configured:
    env: {REFERRED_TOKEN: "${env:REFERRED_TOKEN}", CONFIGURED_PASSWORD: %s}
    options: {upstream: {secret: %s}}
`, secret("CONFIGURED_PASSWORD"), secret("OPTION_SECRET"))
	verb := exec.Command(filepath.Join(bin, "clinvk"), "plugin", "approve", "approved", "--env", "APPROVED_TOKEN", "--plugin-dir", plugins, "--insecure-plugin-dir")
	verb.Env = harness.Environment(home, env)
	if out, err := verb.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := harness.Start(harness.Options{
		Bin: bin, PluginDir: plugins, Home: home, Config: config, Env: env, Args: []string{"--debug", "--insecure-plugin-dir"}, // where the test binary lies is the toolchain's choice
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{} // what the world sees, by where
	get := func(name, method, path, body string) string {
		t.Helper()
		answer, err := ask(t.Context(), method, s.URL+path, body, secret("CLINVK_API_KEYS"))
		if err != nil {
			t.Fatal(err)
		}
		seen[name] = answer
		return answer
	}
	turn := func(backend, kind string) string {
		t.Helper()
		body, err := json.Marshal(map[string]any{"backend": backend, "model": kind, "prompt": "x", "mode": "chat"})
		if err != nil {
			t.Fatal(err)
		}
		return get(kind+" of "+backend, http.MethodPost, "/api/v1/prompt", string(body))
	}
	for name, may := range gets {
		answer := turn(name, hosttest.Secrets)
		if !strings.Contains(answer, "CLINVK_STDIN_GUARD=1") {
			t.Fatalf("%s does not tell its environment: %s", name, answer)
		}
		delete(seen, hosttest.Secrets+" of "+name) // it is to see its own
		for _, v := range append(slices.Clone(inEnvironment), "CONFIGURED_PASSWORD") {
			if got, want := strings.Contains(answer, secret(v)), slices.Contains(may, v); got != want {
				t.Errorf("%s sees %s: %v, want %v", name, v, got, want)
			}
		}
		for _, p := range s.Processes() { // what a process was given can be read by others of its user
			environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
			if err == nil && !p.Nascent() {
				seen[p.Command] = string(environ)
			}
		}
		turn(name, hosttest.LeakSecret) // prints what it has, and dies
	}
	get("list of backends", http.MethodGet, "/api/v1/backends", "")
	get("health", http.MethodGet, "/health", "")
	get("document", http.MethodGet, "/openapi.json", "")
	get("metrics", http.MethodGet, "/metrics", "")
	lock, err := os.ReadFile(filepath.Join(home, ".clinvk", "plugins.lock"))
	if err != nil {
		t.Fatal(err)
	}
	seen["lock file"] = string(lock)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	seen["log"] = s.Log()
	if !strings.Contains(seen["log"], "the key is [redacted]") || !strings.Contains(seen["log"], "the settings are") || !strings.Contains(seen["log"], "variables that the plugin asks for are withheld") {
		t.Errorf("the log does not tell what it should: %s", seen["log"])
	}
	for where, text := range seen {
		for _, v := range append(slices.Clone(inEnvironment), "CONFIGURED_PASSWORD", "OPTION_SECRET") {
			if strings.Contains(text, secret(v)) {
				t.Errorf("%s holds %s", where, v)
			}
		}
	}
}

//go:build unix

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/proto/handshake"
	"github.com/clinvk/clinvk/test/harness"
)

// TestSecretsStayWithTheirBackend reads the environment of every process of a
// server with all three CLIs: a vendor's key is in the CLI that it is for and in
// nothing else, the server's other secrets are in none, and none is in the log, in
// answers or in errors.
func TestSecretsStayWithTheirBackend(t *testing.T) {
	keys := map[string]string{"claude": "ANTHROPIC_API_KEY", "codex": "OPENAI_API_KEY", "gemini": "GEMINI_API_KEY"}
	value := func(name string) string { return "canary-" + strings.ToLower(name) + "-c81d20e4" }
	env := map[string]string{"SOMEBODYS_TOKEN": value("SOMEBODYS_TOKEN"), "AWS_SECRET_ACCESS_KEY": value("AWS_SECRET_ACCESS_KEY")}
	owner := map[string]string{value("SOMEBODYS_TOKEN"): "", value("AWS_SECRET_ACCESS_KEY"): "", value("ONLY_CODEX_TOKEN"): "codex"}
	for backend, name := range keys {
		env[name], owner[value(name)] = value(name), backend
	}
	config := fmt.Sprintf("backends: {codex: {env: {ONLY_CODEX_TOKEN: %s}}}", value("ONLY_CODEX_TOKEN"))
	w := newWorld(t, harness.Options{Env: env, Config: config, Args: []string{"--debug"}})
	seen := map[string]string{}
	for _, backend := range realBackends {
		for _, text := range []string{"hello", "fail [[status=401]]"} {
			r, err := rest.do(t.Context(), w.server.URL, ask{model: backend, history: prompt(text)})
			if err != nil || (r.err == nil) != (text == "hello") {
				t.Fatalf("%s answers %q with %v, %+v", backend, text, err, r)
			}
			seen[backend+" on "+text] = r.raw
		}
	}
	found := map[string]bool{}
	for _, p := range w.processes(t) {
		for secret, backend := range owner {
			if !bytes.Contains(p.environ, []byte(secret)) {
				continue
			}
			if p.backend != backend || p.plugin {
				t.Errorf("%s is in the environment of %s (of %s)", secret, p.command, p.backend)
			}
			found[secret] = true
		}
	}
	for _, backend := range realBackends {
		if name := keys[backend]; !found[value(name)] {
			t.Errorf("%s reached no CLI", name)
		}
	}
	if err := w.server.Close(); err != nil {
		t.Error(err)
	}
	seen["the log"] = w.server.Log()
	for where, text := range seen {
		for secret := range owner {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", where, secret, tail(text, 2000))
			}
		}
	}
}

// process is one that the server started, directly or not.
type process struct {
	command string
	environ []byte
	// backend it works for; plugin says that it is the backend's own process.
	backend string
	plugin  bool
}

// processes lists those of plugins and their CLIs. Which plugin one belongs to is
// told by the mark that a plugin's descendants inherit.
func (w *world) processes(t *testing.T) []process {
	t.Helper()
	var all []process
	marks := map[string]string{}
	for _, p := range w.server.Processes() {
		environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		if err != nil || p.Nascent() {
			continue // it has ended, or is none yet
		}
		q := process{command: p.Command, environ: environ}
		program, _, _ := strings.Cut(p.Command, " ")
		if name, ok := strings.CutPrefix(filepath.Base(program), handshake.NamePrefix); ok {
			q.plugin = true
			marks[mark(environ)] = name
		}
		all = append(all, q)
	}
	for i := range all {
		all[i].backend = marks[mark(all[i].environ)]
	}
	if len(marks) < len(realBackends) || len(all) <= len(marks) {
		t.Fatalf("%d plugins and %d processes", len(marks), len(all))
	}
	return all
}

func mark(environ []byte) string {
	for kv := range bytes.SplitSeq(environ, []byte{0}) {
		if value, ok := bytes.CutPrefix(kv, []byte(handshake.EnvInstance+"=")); ok {
			return string(value)
		}
	}
	return ""
}

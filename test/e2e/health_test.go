//go:build unix

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// TestNotInstalled: without the CLIs the server says what to install, in its list
// of backends and to those who ask; an installed CLI is found without a restart.
func TestNotInstalled(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	for _, name := range []string{"bash", "sh", "env", "git"} {
		if path, err := exec.LookPath(name); err == nil {
			if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink(node, filepath.Join(tools, "node")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, harness.Options{Env: map[string]string{"PATH": tools}})
	packages := map[string]string{
		"claude": "npm install -g @anthropic-ai/claude-code", "codex": "npm install -g @openai/codex", "gemini": "npm install -g @google/gemini-cli",
	}
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			b, err := w.server.Backend(t.Context(), backend)
			if err != nil {
				t.Fatal(err)
			}
			if b.Available || !strings.Contains(b.Message+b.Remedy, packages[backend]) {
				t.Errorf("backend = %+v", b)
			}
			for _, d := range dialects {
				r, err := d.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi"), stream: true})
				if err != nil {
					t.Fatal(err)
				}
				if r.err == nil || !strings.Contains(r.err.message, packages[backend]) || r.status < 400 {
					t.Errorf("%s: status %d, %+v", d.name, r.status, r.err)
				}
			}
			if err := os.Symlink(filepath.Join(clis, backend), filepath.Join(tools, backend)); err != nil {
				t.Fatal(err)
			}
			if r, err := rest.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi")}); err != nil || r.err != nil {
				t.Errorf("not found after its installation: %v %+v", err, r.err)
			}
		})
	}
}

// TestNotLoggedIn: installed but without a key or a login.
func TestNotLoggedIn(t *testing.T) {
	empty := map[string]string{}
	for _, name := range []string{"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"} {
		empty[name] = ""
	}
	w := newWorld(t, harness.Options{Env: empty})
	commands := map[string]string{"claude": "claude", "codex": "codex login", "gemini": "gemini"}
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			b, err := w.server.WaitBackend(ctx, backend, func(b harness.Backend) bool { return strings.Contains(b.Message, "not logged in") })
			if err != nil {
				t.Fatal(err)
			}
			if b.Available || !strings.Contains(b.Message+b.Remedy, commands[backend]) {
				t.Errorf("backend = %+v", b)
			}
			if len(b.Versions) == 0 {
				t.Errorf("the CLI's version is not told: %+v", b)
			}
			for _, d := range dialects {
				r, err := d.do(t.Context(), w.server.URL, ask{model: backend, history: prompt("hi")})
				if err != nil {
					t.Fatal(err)
				}
				checkError(t, d, r, []int{401})
				if !strings.Contains(r.err.message, commands[backend]) {
					t.Errorf("%s: %+v does not say what to run", d.name, r.err)
				}
			}
		})
	}
}

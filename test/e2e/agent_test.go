//go:build unix

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shellTool is what each CLI calls its shell, with the arguments of a call.
var shellTool = map[string]func(command string) (name string, args any){
	"claude": func(c string) (string, any) { return "Bash", map[string]any{"command": c, "description": "test"} },
	"codex": func(c string) (string, any) {
		return "exec_command", map[string]any{"cmd": c}
	},
	"gemini": func(c string) (string, any) {
		return "run_shell_command", map[string]any{"command": c, "description": "test"}
	},
}

// TestAgentRunsToolsUnderItsModes: the CLI's own shell works in workdir when
// nothing needs to be asked, is shown as events, and is denied when it would have
// to be asked or the sandbox is read-only.
func TestAgentRunsToolsUnderItsModes(t *testing.T) {
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			tests := []struct {
				name, approval, sandbox string
				runs                    bool
			}{
				{"none and full", "none", "full", true},
				{"always", "always", "default", false},
				{"read-only", "none", "read-only", false},
			}
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					workdir := t.TempDir()
					name, args := shellTool[backend]("echo made > made.txt && cat made.txt")
					raw, err := json.Marshal(args)
					if err != nil {
						t.Fatal(err)
					}
					text := nonce() + " [[tool=" + name + " args=b64:" + base64.StdEncoding.EncodeToString(raw) + "]]"
					r, err := rest.do(t.Context(), shared.server.URL, ask{
						model: backend, history: prompt(text), stream: true,
						agent: map[string]string{"workdir": workdir, "approval_mode": test.approval, "sandbox_mode": test.sandbox},
					})
					if err != nil {
						t.Fatal(err)
					}
					if r.err != nil {
						t.Fatalf("status %d: %+v", r.status, r.err)
					}
					made, _ := os.ReadFile(filepath.Join(workdir, "made.txt"))
					if (string(made) == "made\n") != test.runs {
						t.Errorf("made.txt holds %q; events %q", made, r.tools)
					}
					if test.runs && (!slices.ContainsFunc(r.tools, func(s string) bool { return strings.HasPrefix(s, "use ") }) ||
						!slices.ContainsFunc(r.tools, func(s string) bool { return strings.HasPrefix(s, "result ") && strings.Contains(s, "made") })) {
						t.Errorf("events = %q", r.tools)
					}
				})
			}
		})
	}
}

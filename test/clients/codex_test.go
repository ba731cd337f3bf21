//go:build unix

package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// codexConfig makes clinvk the provider of Codex; the argument is its address.
const codexConfig = `model = "echo/tool"
model_provider = "clinvk"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.clinvk]
name = "clinvk"
base_url = "%s/openai/v1"
env_key = "CLINVK_KEY"
wire_api = "responses"
supports_websockets = false
request_max_retries = 0
stream_max_retries = 0
`

// codex speaks the Responses API only.
func codex(t *testing.T) program { return codexWith(t, codexConfig) }

func codexWith(t *testing.T, config string) program {
	return program{
		endpoint: pathResponses, client: npmPackage(t, clis, "@openai/codex"),
		read: func(file string) string { return call("exec_command", map[string]any{"cmd": "cat " + file}) },
		command: func(t *testing.T, server, _, prompt string) command {
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, "config.toml"), fmt.Appendf(nil, config, server), 0o600); err != nil {
				t.Fatal(err)
			}
			return command{
				args: []string{
					filepath.Join(clis, ".bin", "codex"), "exec", "--ephemeral", "--skip-git-repo-check",
					"--dangerously-bypass-approvals-and-sandbox", prompt,
				},
				env: map[string]string{"CODEX_HOME": home, "CLINVK_KEY": key},
			}
		},
	}
}

// TestCodexWithWebSockets: a Codex that is told to try a WebSocket, and may try again,
// takes the first answer as a word to use HTTP.
func TestCodexWithWebSockets(t *testing.T) {
	config, _, _ := strings.Cut(strings.Replace(codexConfig, "supports_websockets = false", "supports_websockets = true", 1), "request_max_retries")
	server := start(t)
	if got := codexWith(t, config).answer(t, server, t.TempDir(), "[[say hello]]"); got != "hello" {
		t.Errorf("got %q", got)
	}
	if n := strings.Count(server.Log(), "method=GET path=/openai/v1/responses "); n != 1 {
		t.Errorf("%d WebSockets were tried, want one", n)
	}
}

//go:build unix

package clients

import (
	"fmt"
	"os"
	"path/filepath"
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
func codex(t *testing.T) program {
	return program{
		endpoint: pathResponses, client: npmPackage(t, clis, "@openai/codex"),
		read: func(file string) string { return call("exec_command", map[string]any{"cmd": "cat " + file}) },
		command: func(t *testing.T, server, _, prompt string) command {
			home := t.TempDir()
			if err := os.WriteFile(filepath.Join(home, "config.toml"), fmt.Appendf(nil, codexConfig, server), 0o600); err != nil {
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

//go:build unix

package clients

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// program is an agent for the terminal. Its model is echo/tool, which does what the
// prompt says in double brackets.
type program struct {
	endpoint string
	client   client
	// read is the call by which it reads a file.
	read func(file string) string
	// command makes it answer one prompt. dir is its working directory.
	command func(t *testing.T, server, dir, prompt string) command
}

// command is one run of a program.
type command struct {
	args  []string
	stdin string
	env   map[string]string
}

// programTime bounds one run; a run takes some seconds, more on a busy machine.
const programTime = 3 * time.Minute

func programs(t *testing.T, seen *record) {
	for name, p := range map[string]program{
		"claude": claudeCode(t), "opencode": opencode(t), "codex": codex(t),
		"qwen": qwen(t, pathChat, "OPENAI", "/openai/v1"), "qwen-anthropic": qwen(t, pathMessages, "ANTHROPIC", "/anthropic"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			seen.run(t, p.client, behaviour{p.endpoint, "prompt", func(t *testing.T) {
				want := "answer-" + rand.Text()
				if got := p.answer(t, server, t.TempDir(), "[[say "+want+"]]"); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}})
			seen.run(t, p.client, behaviour{p.endpoint, "its own tools", func(t *testing.T) {
				dir, nonce := t.TempDir(), rand.Text()
				file := filepath.Join(dir, "note.txt")
				if err := os.WriteFile(file, []byte(nonce+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				got := p.answer(t, server, dir, "[[tool "+p.read(file)+"]]")
				if !strings.HasPrefix(got, "result of call_") || !strings.Contains(got, nonce) {
					t.Errorf("got %q, which has not %s of the file", got, nonce)
				}
			}})
			if n := running(t, server); n != 0 {
				t.Errorf("%d turns run on", n)
			}
		})
	}
}

// answer is what the program prints when it is given the prompt. Whatever it leaves
// running is ended.
func (p program) answer(t *testing.T, server *harness.Server, dir, prompt string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), programTime)
	defer cancel()
	c := p.command(t, server.URL, dir, prompt)
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, strings.NewReader(c.stdin), harness.Environment(t.TempDir(), c.env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", p.client.name, err, stdout.Bytes(), stderr.Bytes())
	}
	return strings.TrimSpace(stdout.String())
}

// call writes a call for echo/tool.
func call(tool string, arguments map[string]any) string {
	b, err := json.Marshal(arguments)
	if err != nil {
		panic(err) // maps of strings
	}
	return fmt.Sprintf("%s %s", tool, b)
}

func claudeCode(t *testing.T) program {
	return program{
		endpoint: pathMessages, client: npmPackage(t, clis, "@anthropic-ai/claude-code"),
		read: func(file string) string { return call("Read", map[string]any{"file_path": file}) },
		command: func(_ *testing.T, server, _, prompt string) command {
			return command{
				args: []string{filepath.Join(clis, ".bin", "claude"), "-p", "--model", "echo/tool", prompt},
				env: map[string]string{
					"ANTHROPIC_BASE_URL": server + "/anthropic", "ANTHROPIC_API_KEY": key,
					"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
				},
			}
		},
	}
}

// opencode takes the prompt from its input: it would put quotes around an argument.
func opencode(t *testing.T) program {
	return program{
		endpoint: pathChat, client: npmPackage(t, modules, "opencode-ai"),
		read: func(file string) string {
			return call("bash", map[string]any{"command": "cat " + file, "description": "Shows the note"})
		},
		command: func(t *testing.T, server, dir, prompt string) command {
			config, err := json.Marshal(map[string]any{
				"autoupdate": false, "share": "disabled", "model": "clinvk/echo/tool", "small_model": "clinvk/echo/tool",
				"provider": map[string]any{"clinvk": map[string]any{
					"npm": "@ai-sdk/openai-compatible", "models": map[string]any{"echo/tool": map[string]any{}},
					"options": map[string]any{"baseURL": server + "/openai/v1", "apiKey": key},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "opencode.json"), config, 0o600); err != nil {
				t.Fatal(err)
			}
			return command{
				args:  []string{filepath.Join(modules, ".bin", "opencode"), "run", "--pure", "--title", "a note"},
				stdin: prompt,
				env: map[string]string{
					"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1",
					"OPENCODE_DISABLE_LSP_DOWNLOAD": "1", "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
				},
			}
		},
	}
}

// qwen speaks several dialects; variables is how those begin that configure one.
func qwen(t *testing.T, endpoint, variables, base string) program {
	return program{
		endpoint: endpoint, client: npmPackage(t, modules, "@qwen-code/qwen-code"),
		read: func(file string) string { return call("read_file", map[string]any{"file_path": file}) },
		command: func(t *testing.T, server, _, prompt string) command {
			return command{
				args: []string{
					node(t), filepath.Join(modules, "@qwen-code", "qwen-code", "cli-entry.js"),
					"--auth-type", strings.ToLower(variables), "--bare", "--yolo", prompt,
				},
				env: map[string]string{
					variables + "_BASE_URL": server + base, variables + "_API_KEY": key, variables + "_MODEL": "echo/tool",
					"QWEN_TELEMETRY_ENABLED": "false",
				},
			}
		},
	}
}

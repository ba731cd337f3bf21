//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// command is clinvk as a user types it.
func (k *keeper) command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "clinvk"), args...)
	cmd.Env, cmd.Dir = harness.Environment(k.home, k.fakes.environment()), dir
	return cmd
}

// run runs a command, which must work, and returns what it prints.
func (k *keeper) run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := k.command(t, dir, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("clinvk %q: %v\n%s%s", args, err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// TestSessionsOnTheCommandLine: three turns with each CLI, by -c and by resume, through a
// server that is started anew between them and without one; then a branch, and the next
// CLI takes over.
func TestSessionsOnTheCommandLine(t *testing.T) {
	for _, way := range []string{"server", "in process"} {
		t.Run(way, func(t *testing.T) {
			var k *keeper
			var flags []string
			restart := func(bool) {}
			if way == "server" {
				k = newKeeper(t)
				restart = func(crash bool) { k.restart(t, crash) }
			} else {
				k = newHome(t)
				flags = []string{"--plugin-dir", bin}
			}
			dirs, ids, said := map[string]string{}, map[string]string{}, map[string][]string{}
			for _, backend := range realBackends {
				dirs[backend] = t.TempDir()
			}
			turn := func(t *testing.T, backend, word string, args ...string) string {
				t.Helper()
				prompt, answer := say(word)
				out := k.run(t, dirs[backend], append(append(args, flags...), prompt)...)
				if !strings.Contains(out, answer) {
					t.Errorf("%q is printed, not %q", out, answer)
				}
				said[backend] = append(said[backend], question(prompt))
				k.saw(t, backend, said[backend]...)
				said[backend] = append(said[backend], answer)
				return out
			}
			each := func(what string, f func(t *testing.T, backend string)) {
				for _, backend := range realBackends {
					t.Run(what+"/"+backend, func(t *testing.T) { f(t, backend) })
				}
			}
			each("first", func(t *testing.T, b string) {
				var r kept
				if err := json.Unmarshal([]byte(turn(t, b, "one", "-b", b, "-o", "json")), &r); err != nil || r.SessionID == "" {
					t.Fatalf("%+v, %v", r, err)
				}
				ids[b] = r.SessionID
			})
			restart(false)
			each("continued", func(t *testing.T, b string) { turn(t, b, "two", "-c") })
			restart(true)
			each("resumed", func(t *testing.T, b string) { turn(t, b, "three", "resume", ids[b][:8]) })
			t.Run("branch", func(t *testing.T) {
				before := said["codex"]
				turn(t, "codex", "branch", "--session", ids["codex"], "--fork")
				said["codex"] = before
				turn(t, "codex", "four", "resume", ids["codex"])
			})
			t.Run("hand-over", func(t *testing.T) {
				dirs["gemini"], said["gemini"] = dirs["claude"], said["claude"]
				turn(t, "gemini", "over", "resume", ids["claude"], "-b", "gemini")
			})
		})
	}
}

// TestInterruptThenContinue: Ctrl-C ends the answer, and what there was of it is part of
// the conversation.
func TestInterruptThenContinue(t *testing.T) {
	for _, backend := range realBackends {
		t.Run(backend, func(t *testing.T) {
			k := &keeper{world: shared, home: shared.server.Home}
			dir, n := t.TempDir(), nonce()
			cmd := k.command(t, dir, "-b", backend, n+" [[tokens=50 gap=5ms hangat=20]]")
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			first := make([]byte, len("tok0 "))
			if _, err := io.ReadFull(out, first); err != nil {
				t.Fatalf("%v: %s", err, stderr.Bytes())
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 {
				t.Errorf("%v: %s", err, stderr.Bytes())
			}
			printed := strings.TrimSpace(string(first) + string(rest))
			prompt, answer := say("next")
			if got := k.run(t, dir, "-c", prompt); got != answer {
				t.Errorf("%q is printed", got)
			}
			k.saw(t, backend, n, printed, question(prompt))
		})
	}
}

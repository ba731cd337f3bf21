//go:build linux

package cli

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/harness"
)

// command runs clinvk with a home of its own, where every process that it starts
// can be told by.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "clinvk"), args...)
	home := t.TempDir()
	cmd.Env = harness.Environment(home, map[string]string{"XDG_RUNTIME_DIR": shortDir(t)})
	cmd.Dir = home
	t.Cleanup(func() {
		await.Until(t, startTime, "nothing is left running", func() bool { return len(processes(home)) == 0 })
	})
	return cmd
}

// shortDir is a directory whose sockets have short addresses.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // an error leaves an empty directory
	return dir
}

// processes are those whose environment names a home.
func processes(home string) (out []string) {
	found, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range found {
		if env, err := os.ReadFile(path); err == nil && strings.Contains(string(env), "HOME="+home) {
			out = append(out, path)
		}
	}
	return out
}

// interrupt signals a command several times within 50 ms, as terminals do together
// with programs that pass signals on, and returns how it exits. The signals differ,
// so that none is taken for one that is still to be delivered.
func interrupt(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	between := time.NewTicker(10 * time.Millisecond)
	defer between.Stop()
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt, syscall.SIGTERM, os.Interrupt} {
		if err := cmd.Process.Signal(s); err != nil {
			break // it has ended
		}
		<-between.C
	}
	return exitCode(cmd.Wait())
}

func TestOneInterruptComesTwice(t *testing.T) {
	cmd := command(t, "--plugin-dir", bin, "-m", "echo/slow", strings.Repeat("word ", 1000))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil { // the turn runs
		t.Fatal(err)
	}
	if code := interrupt(t, cmd); code != 7 {
		t.Errorf("it exits with %d", code)
	}
}

// TestInterruptKeepsTheAnswer shows that the turn ends properly, with what there was of it.
func TestInterruptKeepsTheAnswer(t *testing.T) {
	cmd := command(t, "--plugin-dir", bin, "-o", "stream-json", "-m", "echo/slow", strings.Repeat("word ", 1000))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said := &strings.Builder{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines, last, words := bufio.NewScanner(out), "", 0
	for lines.Scan() {
		if last = lines.Text(); !strings.Contains(last, `"type":"message"`) {
			continue
		}
		if words++; words == 1 {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains(last, `"finish_reason":"interrupted"`) || words == 1000 {
		t.Errorf("%d words and %s", words, last)
	}
	if code := exitCode(cmd.Wait()); code != 7 || said.String() != "clinvk: interrupted\n" {
		t.Errorf("it exits with %d and says %q", code, said)
	}
}

func TestInterruptWhilePluginsStart(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	started := filepath.Join(dir, "started")
	script := "#!/bin/sh\necho >'" + started + "'\nexec sleep 60\n"
	if err := os.WriteFile(filepath.Join(dir, "clinvk-backend-mute"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "--plugin-dir", dir, "-b", "mute", "hi")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, startTime, "the plugin starts", func() bool { _, err := os.Stat(started); return err == nil })
	if code := interrupt(t, cmd); code != 7 {
		t.Errorf("it exits with %d", code)
	}
}

// TestOpenPipe gives a command a pipe that nobody closes.
func TestOpenPipe(t *testing.T) {
	cmd := command(t, "--plugin-dir", bin, "-b", "echo", "review:")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var answer strings.Builder
	cmd.Stdout = &answer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); err != nil || !strings.Contains(line, "reading stdin") {
		t.Errorf("%q, %v", line, err)
	}
	_, err = io.WriteString(in, "a diff\n")
	if err != nil || in.Close() != nil || cmd.Wait() != nil || answer.String() != "review:\n\na diff\n" {
		t.Errorf("%q, %v", answer.String(), err)
	}
}

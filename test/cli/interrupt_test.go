//go:build linux

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/test/await"
)

// begun is a command whose output is kept.
type begun struct {
	*exec.Cmd
	out, err bytes.Buffer
}

func (h *home) begin(t *testing.T, args ...string) *begun {
	t.Helper()
	b := &begun{Cmd: h.command(t, args...)}
	b.start(t)
	return b
}

func (b *begun) start(t *testing.T) {
	t.Helper()
	b.Stdout, b.Stderr = &b.out, &b.err
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
}

// waits until the parrot has begun to answer these prompts.
func (h *home) waits(t *testing.T, prompts ...string) {
	t.Helper()
	for _, p := range prompts {
		await.Until(t, startTime, p+" is waited for", func() bool { return os.Remove(filepath.Join(h.dir, p)) == nil })
	}
}

// ended is how a command ended: its exit code, or the signal.
func (b *begun) ended() string {
	_ = b.Wait() // ProcessState tells
	return b.ProcessState.String()
}

// newAviary is a home with echo and the parrot, and with files for the verbs that run
// several prompts, each of which has a prompt that is not tried.
func newAviary(t *testing.T) *home {
	t.Helper()
	h := newHome(t)
	h.env = append(h.env, "CLINVK_CONFIG="+filepath.Join(h.dir, "config.yaml"))
	here := "slow, workdir: " + h.dir
	for name, text := range map[string]string{
		"config.yaml": "default_backend: echo\nplugins: {dirs: [" + filepath.Join(bin, "parrot") + ", " + bin + "]}\n",
		"tasks.yaml": strings.ReplaceAll(`{max_parallel: 2, tasks: [{prompt: one}, {backend: parrot, model: slow, prompt: second},
			{backend: parrot, model: slow, prompt: third}, {prompt: never}]}`, "slow", here),
		"steps.yaml": strings.ReplaceAll("[{prompt: one}, {backend: parrot, model: slow, prompt: third}, {prompt: never}]", "slow", here),
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// serve starts a server that the commands of the home ask.
func (h *home) serve(t *testing.T) *begun {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "clinvk"), "serve", "--port", "0") // the test's context ends before its cleanup
	cmd.Env, cmd.Dir = h.env, h.dir
	server := &begun{Cmd: cmd}
	server.start(t)
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if how := server.ended(); how != "exit status 0" {
			t.Errorf("the server ends with %s and says\n%s", how, &server.err)
		}
	})
	pattern := ""
	for _, v := range h.env {
		if dir, ok := strings.CutPrefix(v, "XDG_RUNTIME_DIR="); ok {
			pattern = filepath.Join(dir, "clinvk", "*", "server-*.sock")
		}
	}
	await.Until(t, startTime, "the server answers", func() bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) == 1 && ready(found[0])
	})
	return server
}

// severally are the verbs that run several prompts, with what they print when they are
// interrupted while the parrot answers.
var severally = []struct {
	verb  string
	args  []string
	waits []string // prompts that it waits for by then
	text  string
}{
	{
		"parallel", []string{"parallel", "-f", "tasks.yaml"}, []string{"second", "third"},
		"one\nheard: second\ninterrupted\nheard: third\ninterrupted\nfailed: not tried because the request was cancelled\n",
	},
	{"chain", []string{"chain", "-f", "steps.yaml"}, []string{"third"}, "one\nheard: third\ninterrupted\n"},
	{
		"compare", []string{"compare", "--backends", "parrot,echo", "--sequential", "-m", "slow", "third"}, []string{"third"},
		"heard: third\ninterrupted\nfailed: not tried because the request was cancelled\n",
	},
}

// TestInterruptSeveral shows that all turns end properly, that no other begins, and that
// what there is of the answers is printed.
func TestInterruptSeveral(t *testing.T) {
	for _, where := range []string{"in process", "with a server"} {
		t.Run(where, func(t *testing.T) {
			h := newAviary(t)
			if where == "with a server" {
				h.serve(t)
			}
			for _, v := range severally {
				for _, form := range []string{"text", "json", "stream-json"} {
					t.Run(v.verb+" "+form, func(t *testing.T) {
						c := h.begin(t, append(v.args, "-q", "-o", form)...)
						h.waits(t, v.waits...)
						if err := c.Process.Signal(os.Interrupt); err != nil {
							t.Fatal(err)
						}
						if how := c.ended(); how != "exit status 7" || c.err.String() != "clinvk: interrupted\n" {
							t.Errorf("it ends with %s and says %q", how, &c.err)
						}
						if diff := cmp.Diff(v.text, printed(t, c.out.Bytes(), form)); diff != "" {
							t.Error(diff)
						}
					})
				}
			}
		})
	}
}

// printed is what a form of output says, as text.
func printed(t *testing.T, out []byte, form string) string {
	t.Helper()
	switch form {
	case "text":
		return string(out)
	case "stream-json":
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		var last struct {
			Type    string
			Content json.RawMessage
		}
		if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil || last.Type != "result" {
			t.Fatalf("%v: the last of %s", err, out)
		}
		out = last.Content
	}
	var a struct {
		Results []struct {
			Output       string
			FinishReason string `json:"finish_reason"`
			Error        *struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var b strings.Builder
	for _, r := range a.Results {
		if r.Output != "" {
			b.WriteString(r.Output + "\n")
		}
		if r.FinishReason == "interrupted" {
			b.WriteString("interrupted\n")
		}
		if r.Error != nil {
			b.WriteString("failed: " + r.Error.Message + "\n")
		}
	}
	return b.String()
}

// TestSecondInterrupt ends commands at once whose backend does not stop.
func TestSecondInterrupt(t *testing.T) {
	for _, where := range []string{"in process", "with a server"} {
		t.Run(where, func(t *testing.T) {
			h := newAviary(t)
			if where == "with a server" {
				h.serve(t)
			}
			for _, args := range [][]string{
				{"-m", "parrot/deaf", "third"}, {"compare", "--backends", "parrot", "-m", "deaf", "third"},
				{"parallel"}, {"chain"},
			} {
				t.Run(args[0], func(t *testing.T) {
					c := &begun{Cmd: h.command(t, args...)}
					c.Stdin = strings.NewReader(`[{"backend": "parrot", "model": "deaf", "prompt": "third", "workdir": "` + h.dir + `"}]`)
					if len(args) > 1 {
						c.Stdin = nil
					}
					c.start(t)
					h.waits(t, "third")
					insist(t, c)
					if how := c.ended(); how != "signal: interrupt" || c.err.Len() > 0 {
						t.Errorf("it ends with %s and says %q", how, &c.err)
					}
				})
			}
		})
	}
}

// insist interrupts a command until it has ended.
func insist(t *testing.T, c *begun) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	await.Until(t, startTime, "it ends", func() bool {
		<-again.C
		_ = c.Process.Signal(os.Interrupt) // an error says that it has ended
		return zombie(c.Process.Pid)
	})
}

// zombie says whether a child has ended, and was not waited for.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(stat, []byte(") Z "))
}

// TestTerminateSeveral ends as a Ctrl-C does.
func TestTerminateSeveral(t *testing.T) {
	h := newAviary(t)
	for _, v := range severally {
		t.Run(v.verb, func(t *testing.T) {
			c := h.begin(t, append(v.args, "-q")...)
			h.waits(t, v.waits...)
			if err := c.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if how := c.ended(); how != "exit status 7" || c.out.String() != v.text {
				t.Errorf("it ends with %s, prints\n%sand says %q", how, &c.out, &c.err)
			}
		})
	}
}

// TestTerminalCloses ends turns properly when their terminal goes away, and keeps the
// session.
func TestTerminalCloses(t *testing.T) {
	h := newAviary(t)
	for _, args := range [][]string{{"-m", "parrot/slow", "third"}, {"parallel", "-f", "tasks.yaml"}, {"chain", "-f", "steps.yaml"}} {
		t.Run(args[0], func(t *testing.T) {
			s := h.open(t, 80, args...)
			h.waits(t, "third")
			if err := s.pty.Close(); err != nil {
				t.Fatal(err)
			}
			// It is closed when the reading of it that goes on is over. An error says that
			// none was.
			_, _ = s.tty.WriteString("\n")
			select {
			case <-s.waited:
			case <-time.After(startTime):
				t.Fatal("it goes on")
			}
			if how := s.cmd.ProcessState.String(); how != "exit status 7" {
				t.Errorf("it ends with %s", how)
			}
		})
	}
	if shown := h.run(t, "sessions", "list", "--json"); !strings.Contains(shown, `"turns": 1`) {
		t.Errorf("the sessions are\n%s", shown)
	}
}

// TestNobodyReads ends without a word when the output goes nowhere.
func TestNobodyReads(t *testing.T) {
	for _, where := range []string{"in process", "with a server"} {
		t.Run(where, func(t *testing.T) {
			h := newAviary(t)
			if where == "with a server" {
				h.serve(t)
			}
			long := strings.Repeat("word ", 200)
			for _, args := range [][]string{
				{"-m", "echo/slow", long}, {"-m", "echo/slow", "-o", "stream-json", long},
				{"compare", "--backends", "echo", "-m", "slow", "-o", "stream-json", long}, {"backends"},
			} {
				t.Run(args[0], func(t *testing.T) {
					c := &begun{Cmd: h.command(t, args...)}
					reads, writes, err := os.Pipe()
					if err != nil {
						t.Fatal(err)
					}
					c.Stdout, c.Stderr = writes, &c.err
					if err := c.Start(); err != nil {
						t.Fatal(err)
					}
					if err := errors.Join(writes.Close(), reads.Close()); err != nil {
						t.Fatal(err)
					}
					if how := c.ended(); how != "signal: broken pipe" || c.err.Len() > 0 {
						t.Errorf("it ends with %s and says %q", how, &c.err)
					}
				})
			}
		})
	}
}

//go:build linux

package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

// home is where commands of one test run, one after another.
type home struct {
	dir string
	env []string
}

func newHome(t *testing.T) *home {
	t.Helper()
	dir := t.TempDir()
	h := &home{dir, harness.Environment(dir, map[string]string{
		"XDG_RUNTIME_DIR": shortDir(t), "CLINVK_BACKEND": "echo", "TERM": "xterm-256color", "NO_COLOR": "1",
	})}
	t.Cleanup(func() {
		hosttest.Eventually(t, startTime, "nothing is left running", func() bool { return len(processes(dir)) == 0 })
	})
	return h
}

func (h *home) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "clinvk"), args...)
	cmd.Env, cmd.Dir = h.env, h.dir
	return cmd
}

// run runs a command to its end, without a terminal.
func (h *home) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := h.command(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen is a command on a terminal.
type screen struct {
	t     *testing.T
	cmd   *exec.Cmd
	pty   *os.File
	ended chan struct{} // when all output was read

	mu   sync.Mutex
	text strings.Builder // all that was written
	seen int             // how much of what is shown was expected
}

// open starts a command on a terminal with so many columns.
func (h *home) open(t *testing.T, columns uint16, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, cmd: h.command(t, args...), ended: make(chan struct{})}
	var err error
	if s.pty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	go s.read()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended, if all went well
		<-s.ended
		_ = s.pty.Close()
	})
	return s
}

func (s *screen) read() {
	defer close(s.ended)
	part := make([]byte, 4096)
	for {
		n, err := s.pty.Read(part)
		s.mu.Lock()
		s.text.Write(part[:n])
		s.mu.Unlock()
		if err != nil { // the command has ended
			return
		}
	}
}

// escapes are what is no text.
var escapes = regexp.MustCompile(`\x1b(\[[0-9;?<>=$]*[ -/]*[@-~]|\][^\x07]*\x07|[=>78M])|\r`)

// shown is what nobody has expected yet.
func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return escapes.ReplaceAllString(s.text.String(), "")[s.seen:]
}

// expect waits until a text is shown, and returns what was shown until then.
func (s *screen) expect(text string) string {
	s.t.Helper()
	shown := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%q is shown", s.shown())
		}
	}()
	hosttest.Eventually(s.t, startTime, fmt.Sprintf("%q is shown", text), func() bool {
		shown = s.shown()
		return strings.Contains(shown, text)
	})
	end := strings.Index(shown, text) + len(text)
	s.seen += end
	return shown[:end]
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.pty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits for the end and checks the exit code.
func (s *screen) exits(code int) {
	s.t.Helper()
	hosttest.Eventually(s.t, startTime, "the command ends", func() bool {
		select {
		case <-s.ended:
			return true
		default:
			return false
		}
	})
	err := s.cmd.Wait()
	if got := exitCode(err); err == nil && code != 0 || err != nil && got != code {
		s.t.Errorf("it exits with %d, not %d: %q", got, code, s.shown())
	}
}

// enter as terminals send it.
const enter = ""

func TestConversationIsTerminated(t *testing.T) {
	h := newHome(t)
	h.run(t, "the first question")
	s := h.open(t, 80, "resume", "--last")
	s.expect("Ctrl-D ends the conversation")
	s.expect(">")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.exits(7)
}

func TestDeleteAsks(t *testing.T) {
	h := newHome(t)
	h.run(t, "--title", "kept for now", "hi")
	for _, test := range []struct{ answer, shown string }{{"n", "Delete this session?"}, {"y", "deleted "}} {
		s := h.open(t, 80, "sessions", "clean", "--older-than", "0d")
		s.expect("kept for now")
		s.press(test.answer + enter)
		s.expect(test.shown)
		s.exits(0)
	}
	if shown := h.run(t, "sessions", "list"); !strings.Contains(shown, "there is no session") {
		t.Errorf("the sessions are %s", shown)
	}
}

//go:build linux

package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/clinvk/clinvk/test/await"
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
		await.Until(t, startTime, "nothing is left running", func() bool { return len(processes(dir)) == 0 })
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

// screenRows are enough that nothing scrolls away.
const screenRows = 50

// screen is a command on a terminal, with what that terminal shows.
type screen struct {
	t        *testing.T
	cmd      *exec.Cmd
	pty, tty *os.File
	before   *unix.Termios
	waited   chan struct{} // when the command has ended
	ended    chan struct{} // when all its output was read

	mu       sync.Mutex
	terminal *vt.Emulator
	written  strings.Builder
}

// open starts a command on a terminal with so many columns.
func (h *home) open(t *testing.T, columns uint16, args ...string) *screen {
	t.Helper()
	s := &screen{
		t: t, cmd: h.command(t, args...), waited: make(chan struct{}), ended: make(chan struct{}),
		terminal: vt.NewEmulator(int(columns), screenRows),
	}
	var err error
	if s.pty, s.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(s.pty, &pty.Winsize{Rows: screenRows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	s.before = s.settings()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.tty, s.tty, s.tty
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.read()
	go func() { _, _ = io.Copy(s.pty, s.terminal) }() // what the terminal answers, until it is closed
	go func() {
		_ = s.cmd.Wait() // ProcessState tells
		close(s.waited)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended, if all went well
		<-s.waited
		_ = s.tty.Close() // then the last to have it open is gone
		<-s.ended
		_ = s.terminal.Close()
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
		_, _ = s.terminal.Write(part[:n]) // to memory
		s.written.Write(part[:n])
		s.mu.Unlock()
		if err != nil { // nobody has the terminal open any more
			return
		}
	}
}

// settings are what stty shows.
func (s *screen) settings() *unix.Termios {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return settings
}

// shown is what is on the screen, without the blank lines at its end.
func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(s.terminal.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// until waits for something about what is shown.
func (s *screen) until(what string, is func(shown string) bool) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the screen:\n%s", s.shown())
		}
	}()
	await.Until(s.t, startTime, what, func() bool { return is(s.shown()) })
}

// expect waits until a text is shown.
func (s *screen) expect(text string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%q is shown", text), func(shown string) bool { return strings.Contains(shown, text) })
}

// asked waits until the last line is one to type in, with such a text before it.
func (s *screen) asked(after string) {
	s.t.Helper()
	s.until(fmt.Sprintf("a prompt is asked for after %q", after), func(shown string) bool {
		return strings.HasSuffix(shown, after+"\n>\n")
	})
}

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.pty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits for the end, and checks the exit code and that the terminal is left as
// it was found.
func (s *screen) exits(code int) {
	s.t.Helper()
	s.until("the command ends", func(string) bool {
		select {
		case <-s.waited:
			return true
		default:
			return false
		}
	})
	if diff := cmp.Diff(s.before, s.settings()); diff != "" {
		s.t.Errorf("the terminal is left changed:\n%s", diff)
	}
	_ = s.tty.Close()
	<-s.ended
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("it exits with %d, not %d:\n%s", got, code, s.shown())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, mode := range []struct{ name, on, off string }{
		{"cursor", "\x1b[?25h", "\x1b[?25l"}, {"pasting", "\x1b[?2004l", "\x1b[?2004h"},
	} {
		written := s.written.String()
		if strings.LastIndex(written, mode.off) > strings.LastIndex(written, mode.on) {
			s.t.Errorf("the terminal's %s is left changed", mode.name)
		}
	}
}

// Keys as terminals send them.
const (
	enter   = "\r"
	escape  = "\x1b"
	down    = "\x1b[B"
	up      = "\x1b[A"
	endOf   = "\x04"
	control = "\x03"
)

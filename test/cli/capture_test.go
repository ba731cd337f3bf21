//go:build linux

package cli

import (
	"database/sql"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // to make sessions older than they are

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

var update = flag.Bool("update", false, "write docs/terminal.md anew")

// widths are those of a terminal as it opens, and of a wide one.
var widths = []int{80, 140}

// lines of the emulated terminals.
const lines = 24

// terminal is a command on an emulated terminal.
type terminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	pty    *os.File
	screen *vt.SafeEmulator
	ended  chan struct{}
}

// show starts a command on a terminal of its own.
func (h *home) show(t *testing.T, columns int, args ...string) *terminal {
	t.Helper()
	s := &terminal{t: t, cmd: h.command(t, args...), screen: vt.NewSafeEmulator(columns, lines), ended: make(chan struct{})}
	var err error
	if s.pty, err = pty.StartWithSize(s.cmd, &pty.Winsize{Rows: lines, Cols: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
	go func() { // an error is the end of the command
		defer close(s.ended)
		_, _ = io.Copy(s.screen, s.pty)
	}()
	go func() { _, _ = io.Copy(s.pty, s.screen) }() // what the terminal answers, until it is closed
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended, if all went well
		<-s.ended
		_ = s.screen.Close()
		_ = s.pty.Close()
	})
	return s
}

// text is what can be read.
func (s *terminal) text() string {
	var b strings.Builder
	for y := range lines {
		var line strings.Builder
		for x := 0; x < s.screen.Width(); {
			cell := s.screen.CellAt(x, y)
			if cell == nil || cell.Width == 0 {
				line.WriteByte(' ')
				x++
				continue
			}
			line.WriteString(cell.Content)
			x += cell.Width
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// wait waits until the screen is like a pattern, and returns it.
func (s *terminal) wait(pattern string) string {
	s.t.Helper()
	like := regexp.MustCompile("(?m)" + pattern)
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the screen is\n%s", s.text())
		}
	}()
	hosttest.Eventually(s.t, startTime, fmt.Sprintf("%q is on the screen", pattern), func() bool { return like.MatchString(s.text()) })
	return s.text()
}

func (s *terminal) press(keys string) {
	s.t.Helper()
	if _, err := s.pty.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits for the end, checks the exit code, and that the cursor is there again.
func (s *terminal) exits(code int) string {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(startTime):
		s.t.Fatalf("it does not end; the screen is\n%s", s.text())
	}
	err := s.cmd.Wait()
	if got := exitCode(err); err == nil && code != 0 || err != nil && got != code {
		s.t.Errorf("it exits with %d, not %d:\n%s", got, code, s.text())
	}
	if s.screen.CursorHidden() {
		s.t.Error("the cursor is hidden")
	}
	return s.text()
}

// capture is one picture of the page.
type capture struct {
	title, command string
	screens        []string // one for each width
}

// TestTerminal holds docs/terminal.md against what terminals show.
func TestTerminal(t *testing.T) {
	captures := []*capture{
		{title: "A prompt", command: `clinvk -m slow "one two three"`},
		{title: "The list of sessions", command: "clinvk sessions list"},
		{title: "Choosing a session", command: "clinvk resume"},
		{title: "Typing makes the list shorter", command: "clinvk resume"},
		{title: "Going on", command: "clinvk resume"},
		{title: "Comparing", command: `clinvk compare --backends echo,parrot "What is the best tea?"`},
		{title: "Side by side", command: "clinvk parallel -f tasks.yaml"},
	}
	for _, columns := range widths {
		for i, screen := range walk(t, columns) {
			captures[i].screens = append(captures[i].screens, screen)
		}
	}
	var page strings.Builder
	page.WriteString("# On a terminal\n\nWhat the command line shows on terminals of 80 and 140 columns, with the echo backend and one that says\n" +
		"what it heard. A test draws these pictures and compares them; with colours, headings and what is less\nimportant are bold and dim.\n")
	for _, c := range captures {
		fmt.Fprintf(&page, "\n## %s\n\n`%s`\n", c.title, c.command)
		for i, screen := range c.screens {
			fmt.Fprintf(&page, "\n%d columns:\n\n```text\n%s```\n", widths[i], screen)
		}
	}
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "terminal.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page.String()); diff != "" {
		t.Errorf("docs/terminal.md shows something else; go test ./test/cli -run TestTerminal -update writes it anew:\n%s", diff)
	}
}

// tasks of the picture of parallel; the second fails.
const tasks = `- {backend: echo, name: first, prompt: "one line"}
- {backend: echo, model: fail, name: second, prompt: overloaded}
- {backend: parrot, name: third, prompt: "a line that is longer than a terminal of eighty columns has room for, to see how it is broken"}
`

// walk shows one picture after the other on terminals of one width.
func walk(t *testing.T, columns int) (screens []string) {
	h := newHome(t)
	h.env = append(h.env, "CLINVK_CONFIG="+filepath.Join(h.dir, "config.yaml"))
	for name, text := range map[string]string{
		"config.yaml": "default_backend: echo\nplugins: {dirs: [" + filepath.Join(bin, "parrot") + ", " + bin + "]}\n",
		"tasks.yaml":  tasks,
	} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add := func(screen string) { screens = append(screens, steady(screen)) }

	first := newHome(t)
	first.env = append(first.env, "CLINVK_BACKEND=echo")
	s := first.show(t, columns, "-m", "slow", "one two three")
	s.wait("one two three")
	add(s.exits(0))

	h.furnish(t)
	add(h.show(t, columns, "sessions", "list").exits(0))

	s = h.show(t, columns, "resume")
	add(s.wait("esc leaves"))
	s.press("\x1b[B") // down
	s.wait("^> .*teapot")
	s.press("tea")
	s.wait("2 of 5")
	add(s.wait("^> .*tea"))
	s.press("\r")
	s.wait("Ctrl-D ends the conversation")
	s.wait("^>$")
	s.press("And with milk?\r")
	s.wait("^And with milk[?]$")
	add(s.wait("^>$"))
	s.press("\x04") // Ctrl-D
	s.exits(0)

	add(h.show(t, columns, "compare", "--backends", "echo,parrot", "What is the best tea?").exits(0))
	add(h.show(t, columns, "parallel", "-f", "tasks.yaml").exits(5))

	// Escape and Ctrl-C leave the list as they should.
	s = h.show(t, columns, "resume")
	s.wait("esc leaves")
	s.press("\x1b")
	s.exits(4)
	s = h.show(t, columns, "resume")
	s.wait("esc leaves")
	s.press("\x03")
	s.exits(7)
	return screens
}

// furnish makes sessions of different ages.
func (h *home) furnish(t *testing.T) {
	t.Helper()
	var ages []time.Duration
	for _, session := range []struct {
		age       time.Duration
		dir, what string
		more      []string
	}{
		{20 * 24 * time.Hour, "projects/kettle", "Why does the kettle whistle before the water boils, and what does that say about pressure and temperature?", nil},
		{3 * 24 * time.Hour, "projects/茶道", "緑茶の正しい淹れ方を教えてください。温度と時間も知りたいです。", nil},
		{5 * time.Hour, "projects/a-directory-with-a-name/that-goes-on/and-on/until-it-is-too-long", "How much tea goes into a pot? 🍵", []string{"and for six people?"}},
		{7 * time.Minute, "projects/teapot", "Is there a teapot between Earth and Mars?", []string{"Who said so?", "When?"}},
		{0, "projects", "hello", nil},
	} {
		dir := filepath.Join(h.dir, session.dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.run(t, "-w", dir, session.what)
		for _, next := range session.more {
			h.run(t, "resume", "--last", next)
		}
		ages = append(ages, session.age)
	}
	db, err := sql.Open("sqlite", filepath.Join(h.dir, ".clinvk", "clinvk.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i, age := range ages {
		if _, err := db.ExecContext(t.Context(), "UPDATE sessions SET updated = updated - ? WHERE id = ?", age.Nanoseconds(), i+1); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	sessionID = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	took      = regexp.MustCompile(`\b\d\.\ds\b`)
	day       = regexp.MustCompile(`\b\d{4}-\d\d-\d\d \d\d:\d\d\b`)
)

// steady replaces what differs from run to run by something as wide.
func steady(screen string) string {
	return day.ReplaceAllString(took.ReplaceAllString(sessionID.ReplaceAllString(screen, "3f2a9c01"), "0.1s"), "2026-11-28 16:39")
}

//go:build linux

package cli

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // to make sessions older than they are

	"github.com/clinvk/clinvk/test/harness"
)

var update = flag.Bool("update", false, "write docs/terminal.md anew")

// widths are those of a terminal as it opens, and of a wide one.
var widths = []uint16{80, 140}

// look waits until the screen is like a pattern, and returns it.
func (s *screen) look(pattern string) string {
	s.t.Helper()
	like := regexp.MustCompile("(?m)" + pattern)
	s.until(fmt.Sprintf("%q is on the screen", pattern), like.MatchString)
	return s.shown()
}

// end waits for the end and returns what is left on the screen.
func (s *screen) end(code int) string {
	s.t.Helper()
	s.exits(code)
	return s.shown()
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
func walk(t *testing.T, columns uint16) (screens []string) {
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
	s := first.open(t, columns, "-m", "slow", "one two three")
	s.look("one two three")
	add(s.end(0))

	h.furnish(t)
	add(h.open(t, columns, "sessions", "list").end(0))

	s = h.open(t, columns, "resume")
	add(s.look("esc leaves"))
	s.press("\x1b[B") // down
	s.look("^> .*teapot")
	s.press("tea")
	s.look("2 of 5")
	add(s.look("^> .*tea"))
	s.press("\r")
	s.look("Ctrl-D ends the conversation")
	s.look("^>$")
	s.press("And with milk?\r")
	s.look("^And with milk[?]$")
	add(s.look("^>$"))
	s.press("\x04") // Ctrl-D
	s.end(0)

	add(h.open(t, columns, "compare", "--backends", "echo,parrot", "What is the best tea?").end(0))
	add(h.open(t, columns, "parallel", "-f", "tasks.yaml").end(5))

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
		if _, err := db.ExecContext(t.Context(), "UPDATE sessions SET created = created - ?1, updated = updated - ?1 WHERE id = ?2", age.Nanoseconds(), i+1); err != nil {
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

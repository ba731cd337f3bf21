//go:build linux

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/doctable"
	"github.com/clinvk/clinvk/test/harness"
)

// tasks of the page's example of parallel.
const tasks = `[{"name": "greeting", "prompt": "Hello!"}, {"name": "问候", "prompt": "你好 🎉"}]`

// TestScreens holds docs/terminal.md to what terminals show.
func TestScreens(t *testing.T) {
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, columns := range []uint16{80, 140} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			page := screens(t, columns)
			doctable.Check(t, filepath.Join(root, "docs", "terminal.md"), fmt.Sprint(columns, " columns"), page)
		})
	}
}

// screens are the blocks of the page for one width.
func screens(t *testing.T, columns uint16) string {
	h := newHome(t)
	for _, kept := range []struct{ title, dir string }{
		{"Find the race in the session store and write a test that shows it before it is mended", "src/clinvk/host/store"},
		{"修复会话存储中的竞态条件", "项目/服务器"},
		{"Party planning 🎉", "a/directory/that/is/quite/deep/and/has/a/long/name/down/to/its/very/end"},
	} {
		dir := filepath.Join(h.dir, kept.dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.run(t, "--title", kept.title, "-w", dir, "hi")
	}
	file := filepath.Join(h.dir, "tasks.json")
	if err := os.WriteFile(file, []byte(tasks), 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	block := func(title string, s *screen) {
		fmt.Fprintf(&b, "\n%s\n\n```text\n%s```\n", title, steady(s.shown()))
	}
	ended := func(title string, args ...string) {
		s := h.open(t, columns, args...)
		s.exits(0)
		block(title, s)
	}
	ended("`clinvk sessions list`", "sessions", "list")
	s := h.open(t, columns, "resume")
	s.expect("3 of 3")
	block("`clinvk resume`: the list to choose from", s)
	s.press("竞态")
	s.expect("1 of 3")
	block("The same after typing `竞态`", s)
	s.press(escape)
	s.exits(4)
	block("The same after Esc", s)
	ended("`clinvk --ephemeral \"…\"`", "--ephemeral", strings.Repeat("A long answer is wrapped by the terminal. ", 4))
	ended("`clinvk \"hello\"`", "hello")
	ended("`clinvk compare --backends echo \"Is 你好 a greeting?\"`", "compare", "--backends", "echo", "Is 你好 a greeting?")
	ended("`clinvk parallel -f tasks.json`", "parallel", "-f", file)
	return b.String() + "\n"
}

var (
	shortIDs  = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	durations = regexp.MustCompile(`\b\d+\.\ds\b`)
	ages      = regexp.MustCompile(`(?m)^((?:> |  |[0-9a-f]{8}  ))\dm `)
)

// steady replaces what differs from run to run by what is as wide.
func steady(shown string) string {
	shown = ages.ReplaceAllString(shown, "${1}now")
	shown = shortIDs.ReplaceAllString(shown, "3f2a9c01")
	return durations.ReplaceAllString(shown, "0.1s")
}

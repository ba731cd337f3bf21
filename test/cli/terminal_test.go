//go:build linux

package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// bothWidths runs a test on a narrow and on a wide terminal.
func bothWidths(t *testing.T, test func(t *testing.T, columns uint16)) {
	for _, columns := range []uint16{80, 140} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) { test(t, columns) })
	}
}

// hint is the last line before the first prompt of a conversation.
const hint = "Ctrl-D ends the conversation, Ctrl-C an answer."

func TestPick(t *testing.T) {
	bothWidths(t, func(t *testing.T, columns uint16) {
		h := newHome(t)
		for _, title := range []string{"the oldest of them", "one in the middle", "the newest of them"} {
			h.run(t, "--title", title, title)
		}
		s := h.open(t, columns, "resume", "-m", "echo/transcript")
		s.expect("3 of 3")
		for line := range strings.Lines(s.shown()) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > int(columns) {
				t.Errorf("a line has %d columns: %q", n, line)
			}
		}
		s.press(down)
		s.press(enter)
		s.asked(hint)
		s.expect("> one in the middle\n")
		s.press("is it you?" + enter)
		s.expect("user: one in the middle\n")
		s.asked("")
		s.press(endOf)
		s.exits(0)

		s = h.open(t, columns, "resume", "-m", "echo/transcript")
		s.expect("3 of 3")
		s.press("oldest")
		s.expect("1 of 3")
		s.press(enter)
		s.asked(hint)
		s.expect("> the oldest of them\n")
		s.press(endOf)
		s.exits(0)
		s.expect("(clinvk resume ")
	})
}

// TestPickerEnds leaves the list in each way that there is.
func TestPickerEnds(t *testing.T) {
	bothWidths(t, func(t *testing.T, columns uint16) {
		h := newHome(t)
		h.run(t, "the first question")
		for _, test := range []struct {
			name string
			end  func(*screen)
			code int
		}{
			{"escape", func(s *screen) { s.press(escape) }, 4},
			{"Ctrl-C", func(s *screen) { s.press(control) }, 7},
			{"Ctrl-D", func(s *screen) { s.press(endOf) }, 4},
			{"SIGTERM", func(s *screen) { s.signal(syscall.SIGTERM) }, 7},
			{"SIGINT", func(s *screen) { s.signal(syscall.SIGINT) }, 7},
		} {
			t.Run(test.name, func(t *testing.T) {
				s := h.open(t, columns, "resume")
				s.expect("1 of 1")
				test.end(s)
				s.exits(test.code)
				if strings.Contains(s.shown(), "LAST TURN") {
					t.Errorf("the list is left:\n%s", s.shown())
				}
			})
		}
	})
}

func TestConversation(t *testing.T) {
	bothWidths(t, func(t *testing.T, columns uint16) {
		h := newHome(t)
		h.run(t, "--title", "talk", "the first question")
		s := h.open(t, columns, "resume", "--last")
		s.asked(hint)
		s.expect("> the first question\nthe first question\n")
		s.press("the sec")
		s.press("ond one" + enter)
		s.asked("> the second one\nthe second one")
		s.press(up + up)
		s.until("the first question is recalled", func(shown string) bool { return strings.HasSuffix(shown, "\n> the first question\n") })
		s.press(" again" + enter)
		s.asked("> the first question again\nthe first question again")
		s.press("unfinished")
		s.expect("> unfinished\n")
		s.press(control) // the line, not the conversation
		s.asked("the first question again")
		s.press(endOf)
		s.exits(0)
		s.expect("(clinvk resume ")
		if shown := h.run(t, "sessions", "list"); !strings.Contains(shown, "  3      active  talk") {
			t.Errorf("the sessions are %s", shown)
		}
	})
}

func TestConversationIsInterrupted(t *testing.T) {
	bothWidths(t, func(t *testing.T, columns uint16) {
		h := newHome(t)
		h.run(t, "the first question")
		s := h.open(t, columns, "resume", "--last", "-m", "echo/slow", "-i", strings.Repeat("word ", 1000))
		s.expect("word word")
		s.press(control) // the terminal makes it a signal
		s.asked("(interrupted)")
		s.press("go on" + enter)
		s.asked("> go on\ngo on")
		s.press(endOf)
		s.exits(0)
		// What was said until then is in the transcript.
		shown := h.run(t, "resume", "--last", "-m", "echo/transcript", "what was that?")
		if !strings.Contains(shown, "assistant: word word") || !strings.Contains(shown, "user: go on") {
			t.Errorf("the transcript is %s", shown)
		}
	})
}

// TestConversationIsTerminated ends it while a line is asked for and while a turn runs.
func TestConversationIsTerminated(t *testing.T) {
	bothWidths(t, func(t *testing.T, columns uint16) {
		h := newHome(t)
		h.run(t, "the first question")
		s := h.open(t, columns, "resume", "--last")
		s.asked(hint)
		s.signal(syscall.SIGTERM)
		s.exits(7)

		s = h.open(t, columns, "resume", "--last", "-m", "echo/slow", "-i", strings.Repeat("word ", 1000))
		s.expect("word word")
		s.signal(syscall.SIGTERM)
		s.exits(7)
	})
}

// TestEndIsTypedAhead types Ctrl-D while a turn runs: it ends the conversation after
// the answer.
func TestEndIsTypedAhead(t *testing.T) {
	h := newHome(t)
	h.run(t, "the first question")
	s := h.open(t, 80, "resume", "--last", "-m", "echo/slow", "-i", strings.Repeat("word ", 40))
	s.expect("word word")
	s.press(endOf)
	s.exits(0)
}

func TestPromptIsInterrupted(t *testing.T) {
	h := newHome(t)
	for name, end := range map[string]func(*screen){
		"Ctrl-C":  func(s *screen) { s.press(control) },
		"SIGTERM": func(s *screen) { s.signal(syscall.SIGTERM) },
	} {
		t.Run(name, func(t *testing.T) {
			s := h.open(t, 80, "-m", "echo/slow", strings.Repeat("word ", 1000))
			s.expect("word word")
			end(s)
			s.exits(7)
		})
	}
}

// TestSpinner is seen while an answer is waited for, and gone after it.
func TestSpinner(t *testing.T) {
	h := newHome(t)
	s := h.open(t, 80, "--ephemeral", "-m", "echo/slow", "one two three")
	s.exits(0)
	if shown := s.shown(); shown != "one two three\n" {
		t.Errorf("the screen:\n%s", shown)
	}
	if !strings.Contains(s.written.String(), " echo/slow 0.") {
		t.Errorf("no spinner is written: %q", s.written.String())
	}
}

// colours are sequences that choose any.
var colours = regexp.MustCompile(`\x1b\[[0-9;]+m`)

func TestNoColour(t *testing.T) {
	h := newHome(t)
	h.run(t, "hi")
	for _, args := range [][]string{{"sessions", "list"}, {"compare", "--backends", "echo", "hi"}, {"hi"}} {
		for _, none := range []bool{true, false} {
			plain := *h
			if !none {
				plain.env = slices.DeleteFunc(slices.Clone(h.env), func(v string) bool { return strings.HasPrefix(v, "NO_COLOR=") })
			}
			s := plain.open(t, 80, args...)
			s.exits(0)
			if colours.MatchString(s.written.String()) == none {
				t.Errorf("%v, NO_COLOR %v: %q", args, none, s.written.String())
			}
		}
	}
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

// TestDumbTerminal shows that one that knows no escape sequences gets none.
func TestDumbTerminal(t *testing.T) {
	h := newHome(t)
	h.env = append(h.env, "TERM=dumb", "NO_COLOR=")
	s := h.open(t, 20, "-m", "echo/slow", "one two")
	s.exits(0)
	s.expect("one two\nsession ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if written := s.written.String(); strings.Contains(written, escape) {
		t.Errorf("it gets %q", written)
	}
}

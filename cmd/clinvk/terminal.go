package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/briandowns/spinner"
	"golang.org/x/term"
)

// terminal is what is known of a stream that may be one.
type terminal struct {
	io.Writer
	fd  int
	tty bool
	// plain wants no colours.
	plain bool
}

// terminalOf looks at a stream; anything but a terminal is treated as a file.
func terminalOf(w io.Writer) terminal {
	f, ok := w.(*os.File)
	if !ok {
		return terminal{Writer: w}
	}
	fd := int(f.Fd())
	return terminal{Writer: w, fd: fd, tty: term.IsTerminal(fd)}
}

// defaultWidth is that of what is no terminal.
const defaultWidth = 100

// width in columns.
func (t terminal) width() int {
	if w, _, err := term.GetSize(t.fd); t.tty && err == nil && w > 0 {
		return w
	}
	return defaultWidth
}

// colour says whether colours are wanted (https://no-color.org).
func (t terminal) colour() bool {
	return t.tty && !t.plain && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// shown is text of a model as it is written there. A terminal would obey control
// characters, so it gets none but newlines and tabs; files and pipes get all.
func (t terminal) shown(text string) string {
	if !t.tty {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// spinEvery is how often the spinner moves.
const spinEvery = 100 * time.Millisecond

// spin shows that something is waited for, with the time that it took so far, until
// stop is called. On what is no terminal, or cannot go back in a line, it shows nothing.
func (t terminal) spin(what string) (stop func()) {
	if !t.tty || os.Getenv("TERM") == "dumb" {
		return func() {}
	}
	begin := time.Now()
	s := spinner.New(spinner.CharSets[14], spinEvery, spinner.WithWriter(t), spinner.WithHiddenCursor(true))
	s.PreUpdate = func(s *spinner.Spinner) {
		s.Suffix = fmt.Sprintf(" %s %.1fs", what, time.Since(begin).Seconds())
	}
	s.Start()
	return s.Stop
}

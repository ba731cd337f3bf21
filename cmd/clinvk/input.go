package main

import (
	"slices"
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// input is a line of text that is typed. It is not the one of bubbles, which looks for
// programs of the clipboard whenever the process starts.
type input struct {
	text []rune
	at   int // the cursor is before this rune
}

func (in *input) set(text string) {
	in.text = []rune(text)
	in.at = len(in.text)
}

func (in *input) insert(text string) {
	runes := []rune(text)
	in.text = slices.Insert(in.text, in.at, runes...)
	in.at += len(runes)
}

// remove takes text out; the cursor is where it was.
func (in *input) remove(from, to int) {
	from, to = max(0, from), min(len(in.text), to)
	in.text = slices.Delete(in.text, from, to)
	in.at = from
}

// update takes in a key or what was pasted.
func (in *input) update(msg tea.Msg) {
	switch msg := msg.(type) {
	case tea.PasteMsg:
		in.insert(strings.ReplaceAll(msg.Content, "\r\n", "\n"))
	case tea.KeyPressMsg:
		in.press(msg)
	}
}

// press does what lines in terminals do.
func (in *input) press(key tea.KeyPressMsg) {
	switch key.String() {
	case "left", "ctrl+b":
		in.at = max(0, in.at-1)
	case "right", "ctrl+f":
		in.at = min(len(in.text), in.at+1)
	case "alt+left", "ctrl+left", "alt+b":
		in.at = in.word()
	case "home", "ctrl+a":
		in.at = 0
	case "end", "ctrl+e":
		in.at = len(in.text)
	case "backspace", "ctrl+h":
		in.remove(in.at-1, in.at)
	case "delete", "ctrl+d":
		in.remove(in.at, in.at+1)
	case "ctrl+w", "alt+backspace":
		in.remove(in.word(), in.at)
	case "ctrl+u":
		in.remove(0, in.at)
	case "ctrl+k":
		in.remove(in.at, len(in.text))
	case "alt+enter", "shift+enter":
		in.insert("\n")
	default:
		in.insert(key.Text) // empty for all keys that write nothing
	}
}

// word is where the word before the cursor begins.
func (in *input) word() int {
	at := in.at
	for at > 0 && unicode.IsSpace(in.text[at-1]) {
		at--
	}
	for at > 0 && !unicode.IsSpace(in.text[at-1]) {
		at--
	}
	return at
}

// view is the part around the cursor that has room in width columns, and the cursor's
// column.
func (in *input) view(width int) (text string, cursor int) {
	before, after := oneRow(in.text[:in.at]), oneRow(in.text[in.at:])
	if over := lipgloss.Width(before) - width + 1; over > 0 {
		before = ansi.TruncateLeft(before, over, "")
	}
	return ansi.Truncate(before+after, width, ""), lipgloss.Width(before)
}

// oneRow shows the ends of lines in one row.
func oneRow(text []rune) string {
	return printable(strings.NewReplacer("\n", "⏎", "\t", " ").Replace(string(text)))
}

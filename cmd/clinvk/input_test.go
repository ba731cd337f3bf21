package main

import (
	"testing"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"pgregory.net/rapid"
)

// keys of the tests, by the names that they have there.
var keys = map[string]tea.KeyPressMsg{
	"left": {Code: tea.KeyLeft}, "right": {Code: tea.KeyRight}, "home": {Code: tea.KeyHome}, "end": {Code: tea.KeyEnd},
	"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "pgup": {Code: tea.KeyPgUp}, "pgdown": {Code: tea.KeyPgDown},
	"backspace": {Code: tea.KeyBackspace}, "delete": {Code: tea.KeyDelete}, "enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape},
	"ctrl+a": {Code: 'a', Mod: tea.ModCtrl}, "ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+d": {Code: 'd', Mod: tea.ModCtrl},
	"ctrl+k": {Code: 'k', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl}, "ctrl+w": {Code: 'w', Mod: tea.ModCtrl},
	"ctrl+left": {Code: tea.KeyLeft, Mod: tea.ModCtrl}, "alt+enter": {Code: tea.KeyEnter, Mod: tea.ModAlt},
}

// pressed is a key of the table, or else what types a text.
func pressed(key string) tea.KeyPressMsg {
	if msg, ok := keys[key]; ok {
		return msg
	}
	return tea.KeyPressMsg{Code: tea.KeyExtended, Text: key}
}

func TestInput(t *testing.T) {
	for _, test := range []struct {
		name string
		keys []string
		want string // with | where the cursor is
	}{
		{"nothing", nil, "|"},
		{"typed", []string{"a", "é", "日", "🎉"}, "aé日🎉|"},
		{"inside", []string{"ab日", "left", "left", "x"}, "ax|b日"},
		{"beyond the ends", []string{"left", "a", "right", "right", "b"}, "ab|"},
		{"home and end", []string{"bc", "home", "a", "end", "d"}, "abcd|"},
		{"backspace", []string{"日本", "backspace"}, "日|"},
		{"backspace at the begin", []string{"a", "home", "backspace"}, "|a"},
		{"delete", []string{"日本", "home", "delete"}, "|本"},
		{"delete at the end", []string{"a", "delete", "ctrl+d"}, "a|"},
		{"a word", []string{"one two  ", "ctrl+w"}, "one |"},
		{"to a word", []string{"one two", "ctrl+left", "ctrl+left", "ctrl+left"}, "|one two"},
		{"to the begin", []string{"one two", "ctrl+left", "ctrl+u"}, "|two"},
		{"to the end", []string{"one two", "ctrl+left", "ctrl+k"}, "one |"},
		{"lines", []string{"a", "alt+enter", "b"}, "a\nb|"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var in input
			for _, key := range test.keys {
				in.update(pressed(key))
			}
			if got := string(in.text[:in.at]) + "|" + string(in.text[in.at:]); got != test.want {
				t.Errorf("%q, not %q", got, test.want)
			}
		})
	}
}

func TestPaste(t *testing.T) {
	in := input{text: []rune("ad"), at: 1}
	in.update(tea.PasteMsg{Content: "b\r\nc"})
	if got := string(in.text); got != "ab\ncd" || in.at != 4 {
		t.Errorf("%q, cursor %d", got, in.at)
	}
}

func TestInputView(t *testing.T) {
	for _, test := range []struct {
		name, before, after string
		width               int
		want                string
		cursor              int
	}{
		{"empty", "", "", 10, "", 0},
		{"all of it", "日本", "go", 10, "日本go", 4},
		{"the end", "abcdefghijkl", "", 6, "hijkl", 5},
		{"the middle", "abcdefgh", "ijkl", 6, "defgh" + "i", 5},
		{"what is after", "ab", "cdefgh", 6, "abcdef", 2},
		{"wide ones whole", "日本語日本", "", 6, "日本", 4},
		{"in one row", "a\nb\tc", "", 10, "a⏎b c", 5},
		{"harmless", "a\x1b[31m", "", 10, "a�[31m", 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := input{text: []rune(test.before + test.after), at: len([]rune(test.before))}
			text, cursor := in.view(test.width)
			if text != test.want || cursor != test.cursor {
				t.Errorf("%q, cursor %d; not %q, cursor %d", text, cursor, test.want, test.cursor)
			}
		})
	}
}

func TestInputHasRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []rune(rapid.StringOf(rapid.SampledFrom([]rune("ab 日語🎉é\n\t"))).Draw(t, "text"))
		in := input{text: text, at: rapid.IntRange(0, len(text)).Draw(t, "at")}
		width := rapid.IntRange(2, 40).Draw(t, "width")
		view, cursor := in.view(width)
		if w := lipgloss.Width(view); w > width || cursor < 0 || cursor >= width || cursor > w {
			t.Fatalf("%q has %d columns of %d, the cursor is at %d", view, w, width, cursor)
		}
	})
}

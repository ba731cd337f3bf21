package tokens

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The counts are those of OpenAI's own tokenizer for o200k_base.
func TestCount(t *testing.T) {
	for text, want := range map[string]int{"": 0, "hello": 1, "hello world": 2, "tok0 tok1 tok2 ": 7} {
		if got := Count(text); got != want {
			t.Errorf("Count(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc dé日😀\u200d👩\n1")), 0, 60, -1).Draw(t, "text")
		limit := rapid.IntRange(-1, 40).Draw(t, "limit")
		got := Prefix(text, limit)
		switch {
		case !strings.HasPrefix(text, got):
			t.Fatalf("%q is no prefix of %q", got, text)
		case !utf8.ValidString(got):
			t.Fatalf("%q ends within a code point", got)
		case limit > 0 && Count(text) <= limit && got != text:
			t.Fatalf("%q was cut to %q for no reason", text, got)
		case limit <= 0 && got != "":
			t.Fatalf("%q has more than no tokens", got)
		case limit > 0 && Count(text) > limit && len(got) == len(text):
			t.Fatalf("%q was not cut to %d", text, limit)
		}
	})
}

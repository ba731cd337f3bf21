package cut_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine/cut"
	"github.com/clinvk/clinvk/host/tokens"
)

// split cuts text at random code points.
func split(t *rapid.T, text string) (out []string) {
	for r := []rune(text); len(r) > 0; {
		n := rapid.IntRange(1, len(r)).Draw(t, "piece")
		out, r = append(out, string(r[:n])), r[n:]
	}
	return out
}

// stop runs pieces through and returns what goes out.
func stop(pieces, sequences []string) (text, match string) {
	s, all, out := cut.NewStop(sequences), "", 0
	for _, p := range pieces {
		all += p
		n, m := s.Add(p)
		if out += n; m != "" {
			return all[:out], m
		}
	}
	n, m := s.End()
	return all[:out+n], m
}

func TestStop(t *testing.T) {
	tests := []struct {
		name            string
		pieces, stops   []string
		text, wantMatch string
	}{
		{"none", []string{"ab"}, nil, "ab", ""},
		{"empty ones", []string{"ab"}, []string{""}, "ab", ""},
		{"across pieces", []string{"xE", "N", "Dy"}, []string{"END"}, "x", "END"},
		{"released at the end", []string{"xEN"}, []string{"END"}, "xEN", ""},
		{"the shorter at one place", []string{"xabc"}, []string{"abc", "ab"}, "x", "ab"},
		{"what begins first", []string{"abc", "d"}, []string{"bc", "abcd"}, "", "abcd"},
		{"what begins first does not come", []string{"abc", "e"}, []string{"bc", "abcd"}, "a", "bc"},
		{"nor at the end", []string{"abc"}, []string{"bc", "abcd"}, "a", "bc"},
		{"overlapping itself", []string{"aa", "ab"}, []string{"aab"}, "a", "aab"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if text, match := stop(tt.pieces, tt.stops); text != tt.text || match != tt.wantMatch {
				t.Errorf("%q, %q; want %q, %q", text, match, tt.text, tt.wantMatch)
			}
		})
	}
}

func TestStopDoesNotDependOnThePieces(t *testing.T) {
	letters := rapid.RuneFrom([]rune("abé"))
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(letters, 0, 30, -1).Draw(t, "text")
		stops := rapid.SliceOfN(rapid.StringOfN(letters, 1, 4, -1), 0, 4).Draw(t, "stops")
		want := text
		for _, s := range stops {
			if i := strings.Index(text, s); i >= 0 && i < len(want) {
				want = text[:i]
			}
		}
		if got, _ := stop(split(t, text), stops); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

// limit runs pieces through and returns what goes out.
func limit(pieces []string, n int) (text string, full bool) {
	l, all, out := cut.NewTokens(n), "", 0
	for _, p := range pieces {
		all += p
		release, full := l.Add(p)
		if out += release; full {
			return all[:out], true
		}
	}
	release, full := l.End()
	return all[:out+release], full
}

func TestTokensEndWhereThePrefixDoes(t *testing.T) {
	words := rapid.SampledFrom([]string{
		"hello", "wor", "ld", " ", "  ", "\n", "it", "'", "'s", "re", "12", "3456", ", ", "日本語", "。", "😀", "\u200d", "é", "ABC", "//", "\t", "(x)", "e\u0301",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(words, 0, 40).Draw(t, "words"), "")
		n := rapid.IntRange(0, 40).Draw(t, "limit")
		got, full := limit(split(t, text), n)
		if want := tokens.Prefix(text, n); got != want || full != (want != text) {
			t.Fatalf("limit %d of %q: %q (full %v), want %q", n, text, got, full, want)
		}
	})
}

func TestTokensOfLongWords(t *testing.T) {
	text := strings.Repeat("日aé", 2000)
	var pieces []string
	for _, r := range text {
		pieces = append(pieces, string(r))
	}
	got, full := limit(pieces, 1000)
	want := len(tokens.Prefix(text, 1000))
	if !full || !strings.HasPrefix(text, got) || !utf8.ValidString(got) || len(got) > want || len(got) < want*9/10 {
		t.Errorf("%d bytes (full %v), want about %d", len(got), full, want)
	}
}

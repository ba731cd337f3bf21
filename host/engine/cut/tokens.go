package cut

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clinvk/clinvk/host/tokens"
)

// maxWord is how long a text without a place to count up to is waited for. Longer
// words are counted in pieces, which may make each piece one token longer.
const maxWord = 1 << 10

// Tokens ends a text where tokens.Prefix would, but for words of more than 1 KiB. It
// reads the text once, and the vocabulary only when there are more bytes than tokens
// left: a token has at least one byte.
type Tokens struct {
	left   int
	before []byte // of texts that have ended, released and not counted yet
	tail   []byte // not counted yet
	out    int    // bytes of tail that were released
}

// NewTokens allows limit tokens.
func NewTokens(limit int) *Tokens { return &Tokens{left: max(0, limit)} }

// Add takes the next text in. The first release bytes of what was added and not yet
// released are within the limit; full says that the answer ends after them.
func (t *Tokens) Add(text string) (release int, full bool) {
	t.tail = append(t.tail, text...)
	t.recall()
	if len(t.tail) > t.left {
		if p := boundary(t.tail); p > 0 {
			if release, full = t.count(p); full {
				return release, true
			}
		}
	}
	if t.left == 0 && len(t.tail) > 0 {
		return release, true
	}
	// So many bytes have no more tokens, whatever follows.
	if n := wholeRunes(t.tail, t.left); n > t.out {
		release, t.out = release+n-t.out, n
	}
	return release, false
}

// End is Add at the end of the text; the next is counted apart from it.
func (t *Tokens) End() (release int, full bool) {
	if len(t.before)+len(t.tail) <= t.left { // surely allowed, and not counted unless it matters
		release = len(t.tail) - t.out
		t.before, t.tail, t.out = append(t.before, t.tail...), nil, 0
		return release, false
	}
	t.recall()
	return t.count(len(t.tail))
}

// recall counts the texts that have ended, as soon as it matters how many tokens they
// have.
func (t *Tokens) recall() {
	if len(t.before) == 0 || len(t.before)+len(t.tail) <= t.left {
		return
	}
	t.left = max(0, t.left-tokens.Count(string(t.before)))
	t.before = nil
}

// count settles the first p bytes of the tail.
func (t *Tokens) count(p int) (release int, full bool) {
	text := string(t.tail[:p])
	n := tokens.Count(text)
	if n > t.left {
		kept := len(tokens.Prefix(text, t.left))
		release = max(0, kept-t.out)
		t.left, t.tail, t.out = 0, nil, 0
		return release, true
	}
	release = max(0, p-t.out)
	t.left -= n
	t.out = max(0, t.out-p)
	t.tail = append(t.tail[:0], t.tail[p:]...)
	return release, false
}

// boundary is the last place where the vocabulary never joins what is before and
// after: behind a letter, and before what no word goes on with. 0: there is none.
func boundary(text []byte) int {
	for at := len(text); at > 0; {
		next, size := utf8.DecodeLastRune(text[:at])
		at -= size
		if !ends(next) {
			continue
		}
		if before, _ := utf8.DecodeLastRune(text[:at]); unicode.IsLetter(before) {
			return at
		}
	}
	if len(text) > maxWord {
		return wholeRunes(text, len(text))
	}
	return 0
}

// ends says that no word goes on with r. An apostrophe may be part of one.
func ends(r rune) bool {
	switch {
	case r == '\'':
		return false
	case r < utf8.RuneSelf:
		return !unicode.IsLetter(r)
	}
	return strings.ContainsRune("、。，！？：；　", r)
}

// wholeRunes is the most bytes, up to limit, that end between code points.
func wholeRunes(text []byte, limit int) int {
	if limit >= len(text) {
		return len(text)
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return limit
}

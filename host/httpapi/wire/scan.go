package wire

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions below walk through text that Parse found valid, so they need no
// errors; they do not recurse, so that depth costs nothing.

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(b []byte, i int) int {
	for i++; ; {
		quote := i + bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[quote-1-slashes] == '\\' { // stops at the opening quote at the latest
			slashes++
		}
		i = quote + 1
		if slashes%2 == 0 {
			return i
		}
	}
}

// skipValue returns the index after the value that begins at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
	default:
		for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
			i++
		}
		return i
	}
	for depth := 0; ; i++ {
		switch b[i] {
		case '"':
			i = skipString(b, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

// unquote is the text of a string. Half a surrogate pair and bytes that are no UTF-8
// become U+FFFD.
func unquote(quoted []byte) string {
	inner := quoted[1 : len(quoted)-1]
	if !utf8.Valid(inner) {
		inner = bytes.ToValidUTF8(inner, []byte("\uFFFD"))
	}
	i := bytes.IndexByte(inner, '\\')
	if i < 0 {
		return string(inner)
	}
	var b strings.Builder
	b.Grow(len(inner))
	for i >= 0 {
		b.Write(inner[:i])
		inner = unescape(&b, inner[i+1:])
		i = bytes.IndexByte(inner, '\\')
	}
	b.Write(inner)
	return b.String()
}

// unescape writes what the escape that follows a backslash stands for and returns what
// comes after it.
func unescape(b *strings.Builder, s []byte) []byte {
	switch c := s[0]; c {
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'u':
		r := unit(s[1:5])
		if utf16.IsSurrogate(r) {
			pair := utf8.RuneError
			if len(s) >= 11 && s[5] == '\\' && s[6] == 'u' {
				pair = utf16.DecodeRune(r, unit(s[7:11]))
			}
			b.WriteRune(pair) // U+FFFD when they are no pair
			if pair != utf8.RuneError {
				return s[11:]
			}
			return s[5:]
		}
		b.WriteRune(r)
		return s[5:]
	default: // quote, backslash, slash
		b.WriteByte(c)
	}
	return s[1:]
}

// unit is the value of four hexadecimal digits.
func unit(digits []byte) (r rune) {
	for _, c := range digits {
		r <<= 4
		switch {
		case c <= '9':
			r += rune(c - '0')
		default:
			r += rune(c|0x20-'a') + 10
		}
	}
	return r
}

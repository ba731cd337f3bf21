package wire

import (
	"strconv"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string. Besides what JSON asks for, U+0085, U+2028
// and U+2029 are escaped: some clients take them for ends of lines, and would cut an
// event of a stream in two. Bytes that are no UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	b = AppendEscaped(b, s)
	return append(b, '"')
}

// AppendEscaped is AppendString without the quotes.
func AppendEscaped(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			b = appendControl(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), "\uFFFD"...)
			start = i + size
		case r == '\u0085':
			b = append(append(b, s[start:i]...), `\u0085`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hex[r&0xF])
			start = i + size
		}
		i += size
	}
	return append(b, s[start:]...)
}

func appendControl(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
}

// AppendNullable appends s as a JSON string, or null when it is empty.
func AppendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return AppendString(b, s)
}

// AppendInt appends a literal, such as `"index":`, and a number.
func AppendInt(b []byte, literal string, n int64) []byte {
	return strconv.AppendInt(append(b, literal...), n, 10)
}

// AppendArguments appends the arguments of a call as an object. Models write objects;
// what is none (cut short, or another value) is kept as text, because losing it would
// hide the failure.
func AppendArguments(b []byte, arguments string) []byte {
	if arguments == "" {
		return append(b, "{}"...)
	}
	v, err := Parse([]byte(arguments))
	if err != nil {
		b = AppendString(append(b, `{"arguments":`...), arguments)
		return append(b, '}')
	}
	return append(b, v.Compact()...)
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// setting is one key of the CLI's configuration: the value is a string, a bool,
// an int or []setting (an inline table).
type setting struct {
	key   string
	value any
}

// toml writes a value in TOML, the form of the CLI's config.toml and of its -c flag.
func toml(v any) string {
	switch v := v.(type) {
	case string:
		return quoteTOML(v)
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case []setting:
		pairs := make([]string, len(v))
		for i, s := range v {
			pairs[i] = s.key + " = " + toml(s.value)
		}
		return "{ " + strings.Join(pairs, ", ") + " }"
	case []string:
		items := make([]string, len(v))
		for i, s := range v {
			items[i] = quoteTOML(s)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	panic(fmt.Sprintf("toml: no form for %T", v))
}

// quoteTOML writes a basic string.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, string(utf8.RuneError)) {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// tomlFile writes settings as a config.toml; keys may be dotted.
func tomlFile(settings []setting) string {
	var b strings.Builder
	for _, s := range settings {
		b.WriteString(s.key + " = " + toml(s.value) + "\n")
	}
	return b.String()
}

// flags writes settings as the CLI's -c flags.
func flags(settings []setting) []string {
	args := make([]string, 0, 2*len(settings))
	for _, s := range settings {
		args = append(args, "-c", s.key+"="+toml(s.value))
	}
	return args
}

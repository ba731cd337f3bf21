package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/clinvk/clinvk/host/near"
)

// Key names a value: server.port is Key{"server", "port"}.
type Key []string

// Child is the key of a member.
func (k Key) Child(name string) Key { return append(k[:len(k):len(k)], name) }

// String is the key with dots; names that have some themselves are quoted.
func (k Key) String() string {
	parts := make([]string, len(k))
	for i, p := range k {
		if p == "" || strings.ContainsAny(p, ".\"") {
			p = strconv.Quote(p)
		}
		parts[i] = p
	}
	return strings.Join(parts, ".")
}

// ParseKey reads what String writes. Its error is an *Error.
func ParseKey(s string) (Key, error) {
	k, err := parseKey(s)
	if err != nil {
		return nil, keyError(err)
	}
	return k, nil
}

// keyError is a mistake in the name of a key.
func keyError(err error) *Error { return &Error{Problems: []Problem{{Message: err.Error()}}} }

func parseKey(s string) (Key, error) {
	var k Key
	for rest := s; ; {
		var name string
		if strings.HasPrefix(rest, `"`) {
			quoted, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("the key %s has a quote without an end", s)
			}
			name, err = strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("the key %s: %w", s, err)
			}
			rest = rest[len(quoted):]
		} else {
			name, _, _ = strings.Cut(rest, ".")
			rest = rest[len(name):]
			if name == "" {
				return nil, fmt.Errorf("the key %q has an empty part", s)
			}
		}
		k = append(k, name)
		if rest == "" {
			return k, nil
		}
		if rest[0] != '.' {
			return nil, fmt.Errorf("the key %s has no dot after a quote", s)
		}
		rest = rest[1:]
	}
}

// field is a member of a struct of the configuration.
type field struct {
	name string
	typ  reflect.Type // pointers removed
}

// fieldsOf lists the members of a struct in order; nil for anything else.
func fieldsOf(t reflect.Type) (out []field) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); name != "" && name != "-" {
			out = append(out, field{name, indirect(f.Type)})
		}
	}
	return out
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

var configType = reflect.TypeFor[Config]()

// typeOf finds the type of a key's value. Its error names what may have been meant.
func typeOf(k Key) (reflect.Type, error) {
	t := configType
	for i, name := range k {
		switch t.Kind() {
		case reflect.Struct:
			f, ok := lookup(t, name)
			if !ok {
				return nil, fmt.Errorf("there is no key %s%s", k[:i+1], near.DidYouMean(name, names(t)))
			}
			t = f
		case reflect.Map:
			t = indirect(t.Elem())
		case reflect.Interface: // the plugin's own
			return t, nil
		default:
			return nil, fmt.Errorf("there is no key %s: %s has no members", k[:i+1], k[:i])
		}
	}
	return t, nil
}

// names of the members of a struct.
func names(t reflect.Type) (out []string) {
	for _, f := range fieldsOf(t) {
		out = append(out, f.name)
	}
	return out
}

func lookup(t reflect.Type, name string) (reflect.Type, bool) {
	for _, f := range fieldsOf(t) {
		if f.name == name {
			return f.typ, true
		}
	}
	return nil, false
}

// leaf says that values of a type are set as a whole.
func leaf(t reflect.Type) bool { return t.Kind() != reflect.Struct && t.Kind() != reflect.Map }

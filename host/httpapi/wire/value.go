package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
)

// Error says which field of a request is wrong, and how.
type Error struct {
	// Path of the field, such as messages[0].content; empty: the whole body.
	Path string
	// Problem follows the name in a sentence: "must be a string, not a number".
	Problem string
}

func (e *Error) Error() string {
	if e.Path == "" {
		return "the body " + e.Problem
	}
	return e.Path + " " + e.Problem
}

// Value is a JSON value within a body that is known to be valid. The zero Value is
// an absent one, which reads like null.
type Value struct {
	parent *Value
	key    string
	index  int // of an element, plus 1; 0: a member
	raw    []byte
}

// Parse checks that body is one JSON object and returns it. Its error is an *Error.
func Parse(body []byte) (Value, error) {
	if !json.Valid(body) {
		var raw json.RawMessage
		err := json.Unmarshal(body, &raw)
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return Value{}, &Error{Problem: fmt.Sprintf("is not valid JSON: %v at byte %d", syntax, syntax.Offset)}
		}
		return Value{}, &Error{Problem: fmt.Sprintf("is not valid JSON: %v", err)}
	}
	v := Value{raw: bytes.TrimSpace(body)}
	if v.raw[0] != '{' {
		return Value{}, v.Errorf("must be a JSON object, not %s", v.kind())
	}
	return v, nil
}

// Raw is the JSON text; it shares the body's memory. Nil when absent.
func (v Value) Raw() json.RawMessage { return v.raw }

// IsNull says that the value is null or absent, which is the same everywhere.
func (v Value) IsNull() bool { return len(v.raw) == 0 || v.raw[0] == 'n' }

// IsString says that the value is a string.
func (v Value) IsString() bool { return len(v.raw) > 0 && v.raw[0] == '"' }

// IsArray says that the value is an array.
func (v Value) IsArray() bool { return len(v.raw) > 0 && v.raw[0] == '[' }

// IsObject says that the value is an object.
func (v Value) IsObject() bool { return len(v.raw) > 0 && v.raw[0] == '{' }

// kind names the type with its article, for messages.
func (v Value) kind() string {
	if len(v.raw) == 0 {
		return "absent"
	}
	switch v.raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// Path is the name of the value, such as messages[0].content.
func (v Value) Path() string {
	var b strings.Builder
	v.path(&b)
	return b.String()
}

func (v Value) path(b *strings.Builder) {
	if v.parent == nil {
		return
	}
	v.parent.path(b)
	switch {
	case v.index > 0:
		fmt.Fprintf(b, "[%d]", v.index-1)
	case b.Len() > 0:
		b.WriteString("." + v.key)
	default:
		b.WriteString(v.key)
	}
}

// Errorf is an *Error about this value.
func (v Value) Errorf(format string, args ...any) error {
	return &Error{Path: v.Path(), Problem: fmt.Sprintf(format, args...)}
}

func (v Value) want(what string) error {
	if len(v.raw) == 0 {
		return v.Errorf("is required")
	}
	return v.Errorf("must be %s, not %s", what, v.kind())
}

// Unknown is the error for a value that is none of the known ones.
func (v Value) Unknown(known ...string) error {
	raw := string(v.raw)
	if len(raw) > 64 {
		raw = raw[:64] + "…"
	}
	return v.Errorf("must be one of %s, not %s", strings.Join(known, ", "), strings.ToValidUTF8(raw, "\uFFFD"))
}

// Object is one level of an object. Of members with the same name the last counts.
type Object struct {
	value   *Value
	members []member
}

type member struct {
	name string
	raw  []byte
}

// maxMembers bounds how many members of an object are looked at: no object of the
// dialects has more, and looking names up stays cheap whatever is sent. The names of
// objects that are carried on as they are (schemas, arguments) are not looked at.
const maxMembers = 512

// Object reads the members of an object.
func (v Value) Object() (Object, error) {
	if !v.IsObject() {
		return Object{}, v.want("an object")
	}
	o := Object{value: &v}
	for i := skipSpace(v.raw, 1); v.raw[i] != '}'; {
		if len(o.members) == maxMembers {
			return Object{}, v.Errorf("has more than %d members", maxMembers)
		}
		end := skipString(v.raw, i)
		name := unquote(v.raw[i:end])
		i = skipSpace(v.raw, skipSpace(v.raw, end)+1) // past the colon
		end = skipValue(v.raw, i)
		o.members = append(o.members, member{name, v.raw[i:end]})
		if i = skipSpace(v.raw, end); v.raw[i] == ',' {
			i = skipSpace(v.raw, i+1)
		}
	}
	return o, nil
}

// Unknown is the name of the first member that is not known; empty: all are.
func (o Object) Unknown(known func(name string) bool) string {
	for _, m := range o.members {
		if !known(m.name) {
			return m.name
		}
	}
	return ""
}

// Get returns a member; what is not there is an absent Value that knows its name.
func (o Object) Get(name string) Value {
	v := Value{parent: o.value, key: name}
	for i := len(o.members) - 1; i >= 0; i-- {
		if o.members[i].name == name {
			v.raw = o.members[i].raw
			break
		}
	}
	return v
}

// Elements iterates over an array.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if !v.IsArray() {
			return
		}
		n := 0
		for i := skipSpace(v.raw, 1); v.raw[i] != ']'; n++ {
			end := skipValue(v.raw, i)
			if !yield(n, Value{parent: &v, index: n + 1, raw: v.raw[i:end]}) {
				return
			}
			if i = skipSpace(v.raw, end); v.raw[i] == ',' {
				i = skipSpace(v.raw, i+1)
			}
		}
	}
}

// Array is Elements for what must be an array.
func (v Value) Array() (iter.Seq2[int, Value], error) {
	if !v.IsArray() {
		return nil, v.want("an array")
	}
	return v.Elements(), nil
}

// Length of an array; 0 for anything else.
func (v Value) Length() (n int) {
	for range v.Elements() {
		n++
	}
	return n
}

// String reads a string that must be there. Half a surrogate pair and bytes that are
// no UTF-8 become U+FFFD.
func (v Value) String() (string, error) {
	if !v.IsString() {
		return "", v.want("a string")
	}
	return unquote(v.raw), nil
}

// NonEmpty reads a string that must be there and not be empty.
func (v Value) NonEmpty() (string, error) {
	s, err := v.String()
	if err == nil && s == "" {
		err = v.Errorf("must not be empty")
	}
	return s, err
}

// OptionalString reads a string; absent and null are "".
func (v Value) OptionalString() (string, error) {
	if v.IsNull() {
		return "", nil
	}
	return v.String()
}

// Bool reads a boolean; absent and null are false.
func (v Value) Bool() (bool, error) {
	if v.IsNull() {
		return false, nil
	}
	if v.raw[0] != 't' && v.raw[0] != 'f' {
		return false, v.want("a boolean")
	}
	return v.raw[0] == 't', nil
}

func (v Value) isNumber() bool {
	return len(v.raw) > 0 && (v.raw[0] == '-' || '0' <= v.raw[0] && v.raw[0] <= '9')
}

// Float reads a number within bounds; absent and null are nil.
func (v Value) Float(low, high float64) (*float64, error) {
	if v.IsNull() {
		return nil, nil
	}
	if !v.isNumber() {
		return nil, v.want("a number")
	}
	f, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil || f < low || f > high {
		return nil, v.Errorf("must be between %g and %g", low, high)
	}
	return &f, nil
}

// Int reads an integer of at least low; absent and null are nil. 1e3 and 10.0 are
// integers too.
func (v Value) Int(low int64) (*int64, error) {
	if v.IsNull() {
		return nil, nil
	}
	if !v.isNumber() {
		return nil, v.want("an integer")
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(v.raw), 64)
		if ferr != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return nil, v.Errorf("must be an integer")
		}
		n = int64(f)
	}
	if n < low {
		return nil, v.Errorf("must be at least %d", low)
	}
	return &n, nil
}

// Schema reads a JSON Schema: an object, carried on as compact text.
func (v Value) Schema() (json.RawMessage, error) {
	if !v.IsObject() {
		return nil, v.want("an object")
	}
	return v.Compact(), nil
}

// Compact is the JSON text without needless space, in memory of its own.
func (v Value) Compact() json.RawMessage {
	var b bytes.Buffer
	b.Grow(len(v.raw))
	if err := json.Compact(&b, v.raw); err != nil {
		return append(json.RawMessage(nil), v.raw...) // cannot be: Parse checked it
	}
	return b.Bytes()
}

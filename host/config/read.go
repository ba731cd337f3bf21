package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/clinvk/clinvk/host/near"
)

// Origin is where a value comes from; the zero Origin is a default.
type Origin struct {
	// Line and Column in the file, from 1; 0: not from the file.
	Line, Column int
	// Variable of the environment; empty: not from there.
	Variable string
}

// tree is what the file says: values of the right types, and where they stand.
type tree struct {
	values   map[string]any
	origins  map[string]Origin // by Key.String
	problems []Problem
}

// parse reads the file's text into a document; a file without anything is a nil node.
func parse(r io.Reader) (*yaml.Node, *Problem) {
	var doc yaml.Node
	dec := yaml.NewDecoder(r)
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, syntaxProblem(err)
	}
	if second := dec.Decode(new(yaml.Node)); !errors.Is(second, io.EOF) {
		return nil, &Problem{Message: "the file holds more than one document"}
	}
	return doc.Content[0], nil
}

var lineOfError = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// syntaxProblem takes the line out of the text of YAML's error, where it only is.
func syntaxProblem(err error) *Problem {
	m := lineOfError.FindStringSubmatch(err.Error())
	if m == nil {
		return &Problem{Message: "no valid YAML: " + err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // digits
	return &Problem{Origin: Origin{Line: line, Column: 1}, Message: "no valid YAML: " + m[2]}
}

// read checks a document against the types of Config.
func read(root *yaml.Node) *tree {
	t := &tree{values: map[string]any{}, origins: map[string]Origin{}}
	if root == nil || root.Tag == "!!null" {
		return t
	}
	if v, ok := t.value(nil, root, configType).(map[string]any); ok {
		t.values = v
	}
	return t
}

func (t *tree) bad(k Key, n *yaml.Node, format string, args ...any) {
	t.problems = append(t.problems, Problem{
		Origin: Origin{Line: n.Line, Column: n.Column}, Key: k.String(), Message: fmt.Sprintf(format, args...),
	})
}

// value reads one value; nil: it is absent, or wrong.
func (t *tree) value(k Key, n *yaml.Node, typ reflect.Type) any {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Tag == "!!null" {
		return nil
	}
	t.origins[k.String()] = Origin{Line: n.Line, Column: n.Column}
	switch typ.Kind() {
	case reflect.Struct, reflect.Map:
		return t.mapping(k, n, typ)
	case reflect.Slice:
		return t.list(k, n, typ)
	case reflect.Interface:
		return t.free(k, n)
	default: // scalars
	}
	if n.Kind != yaml.ScalarNode {
		t.bad(k, n, "must be %s", kindName(typ))
		return nil
	}
	v, err := scalar(n.Value, n.Tag, typ)
	if err != nil {
		t.bad(k, n, "is %s; it must be %s", clip(n.Value), kindName(typ))
		return nil
	}
	return v
}

// mapping reads the members of a struct or a map.
func (t *tree) mapping(k Key, n *yaml.Node, typ reflect.Type) any {
	if n.Kind != yaml.MappingNode {
		t.bad(k, n, "must have members")
		return nil
	}
	out, seen := map[string]any{}, map[string]bool{}
	for _, m := range members(n, 0) {
		at := k.Child(m.name.Value)
		if seen[m.name.Value] {
			if !m.merged {
				t.bad(at, m.name, "is there twice")
			}
			continue
		}
		seen[m.name.Value] = true
		member, ok := memberType(typ, m.name.Value)
		if !ok {
			t.bad(at, m.name, "is not known%s", near.DidYouMean(m.name.Value, names(typ)))
			continue
		}
		v := t.value(at, m.value, member)
		if v == nil && typ.Kind() == reflect.Map && m.value.Tag == "!!null" && member.Kind() == reflect.Struct {
			v = map[string]any{} // a name without members is there nevertheless
		}
		if v != nil {
			out[m.name.Value] = v
		}
	}
	return out
}

// memberType is that of a struct's or map's member.
func memberType(t reflect.Type, name string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return indirect(t.Elem()), true
	}
	return lookup(t, name)
}

// member of a mapping; merged says that it came by "<<".
type member struct {
	name, value *yaml.Node
	merged      bool
}

// maxMerges bounds how deep merges go: an anchor may be merged into itself.
const maxMerges = 16

// members lists a mapping's own members, and after them those that it merges.
func members(n *yaml.Node, depth int) (out []member) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	var merged []member
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		switch {
		case name.Tag != "!!merge":
			out = append(out, member{name, value, false})
		case depth < maxMerges && value.Kind == yaml.SequenceNode:
			for _, e := range value.Content {
				merged = append(merged, members(e, depth+1)...)
			}
		case depth < maxMerges:
			merged = append(merged, members(value, depth+1)...)
		}
	}
	for _, m := range merged {
		out = append(out, member{m.name, m.value, true})
	}
	return out
}

func (t *tree) list(k Key, n *yaml.Node, typ reflect.Type) any {
	if n.Kind != yaml.SequenceNode {
		t.bad(k, n, "must be a list")
		return nil
	}
	out := make([]any, 0, len(n.Content))
	for _, e := range n.Content {
		if e.Kind != yaml.ScalarNode || e.Tag == "!!null" {
			t.bad(k, e, "must hold %s only", kindName(typ.Elem()))
			continue
		}
		v, err := scalar(e.Value, e.Tag, typ.Elem())
		if err != nil {
			t.bad(k, e, "holds %s; it must hold %s only", clip(e.Value), kindName(typ.Elem()))
			continue
		}
		out = append(out, v)
	}
	return out
}

// free reads what is not ours: any value that JSON has, too.
func (t *tree) free(k Key, n *yaml.Node) any {
	if n.Kind == yaml.MappingNode {
		return t.mapping(k, n, reflect.TypeFor[map[string]any]())
	}
	if n.Kind == yaml.SequenceNode {
		out := make([]any, 0, len(n.Content))
		for i, e := range n.Content {
			out = append(out, t.value(k.Child(strconv.Itoa(i)), e, reflect.TypeFor[any]()))
		}
		return out
	}
	var v any
	if err := n.Decode(&v); err != nil {
		t.bad(k, n, "cannot be read: %v", err)
	}
	if f, ok := v.(float64); ok && !finite(f) {
		t.bad(k, n, "is %s; JSON has no such number", clip(n.Value))
	}
	return v
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

var errKind = errors.New("another kind of value")

// scalar reads text as a value of a type. tag is YAML's idea of it, empty for text of
// the environment: there 1 may be a string.
func scalar(text, tag string, typ reflect.Type) (any, error) {
	switch typ.Kind() {
	case reflect.String:
		return text, nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, errKind
		}
		return text == "true", nil
	case reflect.Int, reflect.Int64:
		if tag == "!!str" {
			return nil, errKind
		}
		return strconv.ParseInt(text, 10, 64)
	case reflect.Float64:
		if tag == "!!str" {
			return nil, errKind
		}
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && !finite(f) {
			err = errKind
		}
		return f, err
	default:
		return nil, fmt.Errorf("no values of the type %v are read", typ)
	}
}

// kindName is the type of a value in the words of people.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a group of keys"
	default:
		return "text"
	}
}

// maxQuoted bounds how much of a value an error shows.
const maxQuoted = 64

func clip(s string) string {
	if len(s) > maxQuoted {
		return strconv.Quote(s[:maxQuoted]) + "…"
	}
	return strconv.Quote(s)
}

package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Entry is one value as it holds, and where it comes from.
type Entry struct {
	Key    Key
	Value  any
	Origin Origin
}

// mask stands for what must not be shown.
const mask = "********"

// secretName is the name of an option that is likely to hold a secret.
var secretName = regexp.MustCompile(`(?i)(key|token|secret|passw|passphrase|authorization|credential|cookie)`)

// Entries lists the values that hold, defaults too, in the order of the
// documentation. Secrets are masked: the variables of backends, unless they name a
// variable of the server, and options whose name says so.
func (c *Config) Entries() []Entry { return slices.Clone(c.entries) }

// entries walks the values in the order of Config's fields.
func entries(values map[string]any, origins map[string]Origin) (out []Entry) {
	var walk func(k Key, t reflect.Type, v any)
	walk = func(k Key, t reflect.Type, v any) {
		m, ok := v.(map[string]any)
		if !ok || t.Kind() == reflect.Interface {
			out = append(out, Entry{k, masked(k, v), origins[k.String()]})
			return
		}
		if t.Kind() == reflect.Map {
			for _, name := range slices.Sorted(maps.Keys(m)) {
				walk(k.Child(name), indirect(t.Elem()), m[name])
			}
			return
		}
		for _, f := range fieldsOf(t) {
			if member, ok := m[f.name]; ok {
				walk(k.Child(f.name), f.typ, member)
			}
		}
	}
	walk(nil, configType, values)
	return out
}

// masked hides a value that may be a secret.
func masked(k Key, v any) any {
	if len(k) < 4 || k[0] != "backends" {
		return v
	}
	text, isText := v.(string)
	switch {
	case k[2] == "env" && isText && envReference.ReplaceAllString(text, "") == "":
		return v
	case k[2] == "env":
		return mask
	}
	return hide(k[len(k)-1], v)
}

// hide masks options by their names, also within others; a list has the name of its
// member.
func hide(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[name] = hide(name, member)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = hide(name, e)
		}
		return out
	}
	if secretName.MatchString(name) {
		return mask
	}
	return v
}

// Source names where an entry comes from, for people: "default", a place in the file,
// or a variable.
func (c *Config) Source(o Origin) string {
	switch {
	case o.Variable != "":
		return o.Variable
	case o.Line > 0:
		return c.Path + ":" + strconv.Itoa(o.Line)
	}
	return "default"
}

// Show is the configuration as YAML, each value with where it comes from as comment.
func (c *Config) Show() (string, error) {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, e := range c.entries {
		value := &yaml.Node{}
		if err := value.Encode(e.Value); err != nil {
			return "", fmt.Errorf("showing %s: %w", e.Key, err)
		}
		if value.Kind == yaml.SequenceNode || value.Kind == yaml.MappingNode {
			value.Style = yaml.FlowStyle
		}
		value.LineComment = c.Source(e.Origin)
		put(root, e.Key, value)
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return "", fmt.Errorf("showing the configuration: %w", err)
	}
	return string(text), nil
}

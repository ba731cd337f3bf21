package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// TestEveryKeyIsDocumented: the example in docs/configuration.md has every key in its
// place.
func TestEveryKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	example := yamlBlock.FindSubmatch(text)
	if example == nil {
		t.Fatal("no example")
	}
	c, err := build("docs/configuration.md", t.TempDir(), example[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	stands := map[string]bool{}
	for at := range c.origins {
		stands[at] = true
	}
	var missing []string
	var walk func(k Key, fields []field)
	walk = func(k Key, fields []field) {
		for _, f := range fields {
			at := k.Child(f.name)
			if !leaf(f.typ) && len(fieldsOf(f.typ)) > 0 {
				walk(at, fieldsOf(f.typ))
			} else if !stands[at.String()] && !inAny(c, at) {
				missing = append(missing, at.String())
			}
		}
	}
	for _, f := range fieldsOf(configType) {
		switch f.name {
		case "backends", "models":
			element := indirect(f.typ.Elem())
			for _, member := range fieldsOf(element) {
				if !inAny(c, Key{f.name, "*", member.name}) {
					missing = append(missing, f.name+".NAME."+member.name)
				}
			}
		case "limits": // as those of a backend
		default:
			if fields := fieldsOf(f.typ); len(fields) > 0 {
				walk(Key{f.name}, fields)
			} else if !stands[f.name] {
				missing = append(missing, f.name)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("the example does not have %s", strings.Join(missing, ", "))
	}
}

// inAny says whether a key with * for a name stands somewhere.
func inAny(c *Config, k Key) bool {
	for at := range c.origins {
		parts, err := ParseKey(at)
		if err != nil || len(parts) < len(k) {
			continue
		}
		same := true
		for i, part := range k {
			same = same && (part == "*" || part == parts[i])
		}
		if same {
			return true
		}
	}
	return false
}

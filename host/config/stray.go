package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/host/near"
)

// otherVariables mean something to clinvk and set no key; without their prefix.
var otherVariables = []string{"HOME", "CONFIG", "DEBUG", "SERVER", "API_KEYS", "PLUGIN_PATH"}

// innerVariables are what clinvk tells its own processes, which may run it again, what
// the documentation calls a client's key, and what tests set.
var (
	innerVariables = []string{"INSTANCE", "STDIN_GUARD", "PLUGIN_COOKIE", "PROCESS", "CHAOS", "KEY"}
	testPrefixes   = []string{"TEST_", "HOSTTEST_"}
)

// Strays tells, a sentence for each, of variables that are named like those of clinvk
// and set nothing: most are mistyped. Load is content with them, because there may be
// others' variables of such a name.
func (c *Config) Strays() []string { return slices.Clone(c.strays) }

// strays finds them; known is as for fromEnvironment.
func strays(environ []string, known map[string]any, backends map[string]Backend) (out []string) {
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(entry, "=")
		words, ok := strings.CutPrefix(name, prefix)
		if !ok || text == "" || slices.Contains(otherVariables, words) || slices.Contains(innerVariables, words) ||
			slices.ContainsFunc(testPrefixes, func(p string) bool { return strings.HasPrefix(words, p) }) {
			continue
		}
		if _, _, sets := keyOf(name, known); sets || referred(name, backends) {
			continue
		}
		hint := ""
		if meant := near.Names(words, slices.Concat(otherVariables, []string{"BACKEND"}, variables(nil, configType, words, known))); len(meant) > 0 {
			hint = "; did you mean " + prefix + meant[0] + "?"
		}
		out = append(out, name+" sets nothing"+hint)
	}
	return out
}

// referred says whether a backend's environment takes a variable over.
func referred(name string, backends map[string]Backend) bool {
	for _, b := range backends {
		for _, v := range b.Env {
			if strings.Contains(v, "${env:"+name+"}") {
				return true
			}
		}
	}
	return false
}

// variables lists those that set keys of a type, without their prefix. The names in
// maps are the known ones, and those that words may have meant.
func variables(k Key, t reflect.Type, words string, known map[string]any) (out []string) {
	switch {
	case leaf(t):
		return []string{strings.TrimPrefix(Variable(k), prefix)}
	case t.Kind() == reflect.Struct:
		for _, f := range fieldsOf(t) {
			out = append(out, variables(k.Child(f.name), f.typ, words, known)...)
		}
	case indirect(t.Elem()).Kind() == reflect.Struct:
		at, _ := known[k.String()].(map[string]any)
		names := slices.Collect(maps.Keys(at))
		if rest, ok := strings.CutPrefix(words, strings.TrimPrefix(Variable(k), prefix)+"_"); ok {
			for i := range rest {
				if rest[i] == '_' {
					names = append(names, rest[:i])
				}
			}
		}
		for _, name := range names {
			out = append(out, variables(k.Child(name), indirect(t.Elem()), words, known)...)
		}
	}
	return out
}

// Unmatched tells, a sentence for each, of backends that the configuration names and
// that are none of the plugins found. A plugin may still come while a server runs.
func (c *Config) Unmatched(found []string) (out []string) {
	look := func(k Key, name string) {
		switch {
		case name == "" || slices.Contains(found, name):
		case len(c.Plugins.Allow) > 0 && !slices.Contains(c.Plugins.Allow, name):
			out = append(out, fmt.Sprintf("%s names the backend %q, which plugins.allow leaves out", k, name))
		default:
			out = append(out, fmt.Sprintf("%s names the backend %q, but no such plugin was found%s", k, name, near.DidYouMean(name, found)))
		}
	}
	if _, alias := c.Models[c.DefaultBackend]; !alias {
		name, _, _ := strings.Cut(c.DefaultBackend, "/")
		look(Key{"default_backend"}, name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Backends)) {
		if len(c.Plugins.Allow) == 0 || slices.Contains(c.Plugins.Allow, name) {
			look(Key{"backends", name}, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Models)) {
		look(Key{"models", name, "backend"}, c.Models[name].Backend)
	}
	for _, name := range c.Plugins.Allow {
		look(Key{"plugins", "allow"}, name)
	}
	return out
}

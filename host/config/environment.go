package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// short are variables with names of their own.
var short = map[string]Key{"CLINVK_BACKEND": {"default_backend"}}

// shortModel ends the short variables of backends' models: CLINVK_CLAUDE_MODEL is
// CLINVK_BACKENDS_CLAUDE_MODEL.
const shortModel = "_MODEL"

// prefix of all variables.
const prefix = "CLINVK_"

// Variable is the name of the variable that sets a key: CLINVK_SERVER_PORT for
// server.port.
func Variable(k Key) string {
	name := strings.Join(k, "_")
	return prefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// fromEnvironment reads the variables that set keys. Those of backends and aliases can
// only be found when their names are known: from the file, or because they have no
// character that variables cannot have.
func fromEnvironment(environ []string, known map[string]any) *tree {
	t := &tree{values: map[string]any{}, origins: map[string]Origin{}}
	for _, entry := range slices.Sorted(slices.Values(environ)) {
		name, text, ok := strings.Cut(entry, "=")
		if !ok || text == "" || !strings.HasPrefix(name, prefix) {
			continue
		}
		if k, typ, ok := keyOf(name, known); ok {
			t.set(k, typ, name, text)
		}
	}
	return t
}

// keyOf finds the key that a variable sets.
func keyOf(name string, known map[string]any) (Key, reflect.Type, bool) {
	if k, ok := short[name]; ok {
		typ, err := typeOf(k)
		return k, typ, err == nil
	}
	words := strings.TrimPrefix(name, prefix)
	if k, typ, ok := match(nil, configType, words, known); ok {
		return k, typ, true
	}
	backend, ok := strings.CutSuffix(words, shortModel)
	if !ok || backend == "" {
		return nil, nil, false
	}
	k := Key{"backends", nameOf(Key{"backends"}, backend, known), "model"}
	typ, err := typeOf(k)
	return k, typ, err == nil
}

// match takes the words of a variable apart along the types of Config.
func match(k Key, t reflect.Type, words string, known map[string]any) (Key, reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return matchName(k, t, words, known)
	}
	for _, f := range fieldsOf(t) {
		own := strings.ToUpper(f.name)
		if words == own && leaf(f.typ) {
			return k.Child(f.name), f.typ, true
		}
		if rest, ok := strings.CutPrefix(words, own+"_"); ok && !leaf(f.typ) {
			if found, typ, ok := match(k.Child(f.name), f.typ, rest, known); ok {
				return found, typ, true
			}
		}
	}
	return nil, nil, false
}

// matchName splits words into a name and a member of what it names, such as
// CLAUDE and LIMITS_MAX_QUEUE. A map of plain values (env, options) is not set so.
func matchName(k Key, t reflect.Type, words string, known map[string]any) (Key, reflect.Type, bool) {
	member := indirect(t.Elem())
	if member.Kind() != reflect.Struct {
		return nil, nil, false
	}
	for i := 1; i < len(words); i++ {
		if words[i] != '_' {
			continue
		}
		name := nameOf(k, words[:i], known)
		if found, typ, ok := match(k.Child(name), member, words[i+1:], known); ok {
			return found, typ, true
		}
	}
	return nil, nil, false
}

// nameOf is the name in the map of a key that a variable's words stand for: a known
// one, or the one that has no character that variables cannot have.
func nameOf(k Key, words string, known map[string]any) string {
	at, _ := known[k.String()].(map[string]any)
	for given := range at {
		if Variable(Key{given}) == prefix+words {
			return given
		}
	}
	return strings.ToLower(strings.ReplaceAll(words, "_", "-"))
}

// set puts a variable's value in its place.
func (t *tree) set(k Key, typ reflect.Type, variable, text string) {
	var v any
	var err error
	if typ.Kind() == reflect.Slice {
		list := []any{}
		for e := range strings.SplitSeq(text, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		v = list
	} else {
		v, err = scalar(strings.TrimSpace(text), "", typ)
	}
	if err != nil {
		t.problems = append(t.problems, Problem{
			Origin: Origin{Variable: variable}, Message: fmt.Sprintf("is %s; it must be %s", clip(text), kindName(typ)),
		})
		return
	}
	at := t.values
	for _, name := range k[:len(k)-1] {
		next, ok := at[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[name] = next
		}
		at = next
	}
	at[k[len(k)-1]] = v
	t.origins[k.String()] = Origin{Variable: variable}
}

var envReference = regexp.MustCompile(`\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}`)

// expand replaces ${env:NAME}.
func expand(s string, getenv func(string) string) string {
	return envReference.ReplaceAllStringFunc(s, func(m string) string {
		return getenv(envReference.FindStringSubmatch(m)[1])
	})
}

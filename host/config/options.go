package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/clinvk/clinvk/host/near"
)

// optionAllowedTools is the option of plugins that backends.NAME.allowed_tools stands
// for.
const optionAllowedTools = "allowed_tools"

// allTools is the value of allowed_tools that says nothing.
const allTools = "all"

// OptionsOf are the options that a backend's plugin gets; nil: none.
func (c *Config) OptionsOf(backend string) map[string]any {
	b := c.Backends[backend]
	if b.AllowedTools == "" || b.AllowedTools == allTools {
		return b.Options
	}
	options := map[string]any{}
	maps.Copy(options, b.Options)
	tools := []any{}
	for _, tool := range splitTools(b.AllowedTools) {
		tools = append(tools, tool)
	}
	options[optionAllowedTools] = tools
	return options
}

// splitTools splits at the commas that are not within parentheses: Bash(git log:*, x).
func splitTools(s string) (out []string) {
	depth, begin := 0, 0
	add := func(end int) {
		if tool := strings.TrimSpace(s[begin:end]); tool != "" {
			out = append(out, tool)
		}
		begin = end + 1
	}
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				add(i)
			}
		}
	}
	add(len(s))
	return out
}

// CheckOptions holds the options of a backend against the JSON Schema of its plugin
// (Describe.config_schema; empty: it takes none). The error is an *Error with the place
// of each mistake, or says that the schema cannot be read, which is the plugin's fault.
func (c *Config) CheckOptions(backend string, schema []byte) error {
	options := c.OptionsOf(backend)
	if len(options) == 0 {
		return nil
	}
	if len(schema) == 0 {
		return c.Mistakes(c.optionProblem(backend, []string{first(options)}, "is set, and the plugin takes no options"))
	}
	compiled, err := compileOptions(schema)
	if err != nil {
		return fmt.Errorf("the options of the backend %s cannot be checked: the schema of its plugin is not valid: %w", backend, err)
	}
	text, err := json.Marshal(options)
	if err != nil {
		return fmt.Errorf("the options of the backend %s are no JSON: %w", backend, err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("the options of the backend %s are no JSON: %w", backend, err)
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](compiled.Validate(value))
	if !ok {
		return nil
	}
	var problems []Problem
	for _, leaf := range leaves(invalid) {
		problems = append(problems, c.schemaProblems(backend, leaf, properties(compiled))...)
	}
	return c.Mistakes(problems...)
}

func first(options map[string]any) string { return slices.Sorted(maps.Keys(options))[0] }

// noFetch refuses what a schema refers to outside itself.
type noFetch struct{}

func (noFetch) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside of the schema, and nothing is fetched", url)
}

func compileOptions(schema []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	const name = "urn:clinvk:options"
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noFetch{})
	if err := compiler.AddResource(name, doc); err != nil {
		return nil, err
	}
	return compiler.Compile(name)
}

// properties are the names of the options that a schema knows.
func properties(s *jsonschema.Schema) []string { return slices.Sorted(maps.Keys(s.Properties)) }

// leaves are the mistakes that have no further causes.
func leaves(e *jsonschema.ValidationError) (out []*jsonschema.ValidationError) {
	if len(e.Causes) == 0 {
		return []*jsonschema.ValidationError{e}
	}
	for _, cause := range e.Causes {
		out = append(out, leaves(cause)...)
	}
	return out
}

// schemaProblems are the mistakes that one failed check tells of.
func (c *Config) schemaProblems(backend string, e *jsonschema.ValidationError, known []string) (out []Problem) {
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			hint := ""
			if len(e.InstanceLocation) == 0 {
				hint = near.DidYouMean(name, known)
			}
			out = append(out, c.optionProblem(backend, append(slices.Clone(e.InstanceLocation), name), "is not known to the plugin"+hint))
		}
	default:
		text := e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
		out = append(out, c.optionProblem(backend, e.InstanceLocation, "is not as the plugin has it: "+text))
	}
	return out
}

// optionProblem is a mistake at a place within the options.
func (c *Config) optionProblem(backend string, location []string, message string) Problem {
	at := Key{"backends", backend, "options"}
	if b := c.Backends[backend]; len(location) > 0 && location[0] == optionAllowedTools && b.Options[optionAllowedTools] == nil {
		at, location = Key{"backends", backend}, location[:1]
	}
	return c.Mistake(append(at, location...), "%s", message)
}

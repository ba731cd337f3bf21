package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clinvk/clinvk/host/engine/clip"
)

// Bounds of a schema and of what is checked against one.
const (
	// maxSchema in bytes: OpenAI's own bound is 120,000 characters.
	maxSchema = 256 << 10
	// maxDepth of nested values.
	maxDepth = 100
	// maxExponent of numbers, that of a float64. Checking compares exact numbers, and
	// 1e1000000000 would have as many digits.
	maxExponent = 308
	// maxCost is how many schemas one value may be checked against.
	maxCost = 20_000
)

// Schema is a JSON Schema that answers are checked against. Its methods may be called
// concurrently.
type Schema struct {
	source   json.RawMessage
	compiled *jsonschema.Schema
	graph    *graph
}

// noFetch refuses what a schema refers to outside itself.
type noFetch struct{}

func (noFetch) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside of the schema, and nothing is fetched", url)
}

// anything is a pattern that Go cannot read, with a lookahead for example. Libraries
// generate such ones for mail addresses, so it is a note and no reason to refuse.
type anything string

func (anything) MatchString(string) bool { return true }

func (a anything) String() string { return string(a) }

func compilePattern(pattern string) (jsonschema.Regexp, error) {
	if r, err := regexp.Compile(pattern); err == nil {
		return r, nil
	}
	return anything(pattern), nil
}

// Compile reads a schema, of draft 2020-12 unless it says otherwise. Formats are notes,
// as that draft has it. The error says what is wrong with the schema, and may be long.
func Compile(source json.RawMessage) (*Schema, error) {
	if len(source) > maxSchema {
		return nil, fmt.Errorf("it has more than %d KiB", maxSchema>>10)
	}
	doc, err := readJSON(string(source))
	if err != nil {
		return nil, err
	}
	const name = "urn:clinvk:schema"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noFetch{})
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(name, doc); err != nil {
		return nil, err
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, err
	}
	if cost(compiled, map[*jsonschema.Schema]int{}) > maxCost {
		return nil, errors.New("its parts refer to each other too often to be checked")
	}
	return &Schema{source: source, compiled: compiled, graph: newGraph(compiled)}, nil
}

// cost is about how many schemas one value is checked against. References can double it
// with each line of a schema.
func cost(s *jsonschema.Schema, known map[*jsonschema.Schema]int) int {
	if s == nil {
		return 0
	}
	if n, ok := known[s]; ok {
		return n
	}
	known[s] = 1 // a schema that refers to itself is found when it is used
	n := 1
	for _, same := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, {s.Ref, s.Not, s.If, s.Then, s.Else}} {
		for _, part := range same {
			n = min(n+cost(part, known), maxCost+1)
		}
	}
	known[s] = n
	return n
}

// AnyObject says that the schema is {"type":"object"} and no more: the JSON mode of
// clients, which providers that enforce schemas do not take for one.
func (s *Schema) AnyObject() bool {
	var members map[string]any
	return json.Unmarshal(s.source, &members) == nil && len(members) == 1 && members["type"] == "object"
}

// Check says what is wrong with a text, in at most about 8 KiB; nil: it is JSON that
// matches.
func (s *Schema) Check(text string) error {
	v, err := readJSON(text)
	if err != nil {
		return err
	}
	if s.graph.work(v) > maxWork {
		return errors.New("it is too large, or nested too deep, to be checked against this schema")
	}
	err = s.compiled.Validate(v)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		return errors.New(clip.Text(invalid.Error()))
	}
	return err
}

// readJSON reads exactly one value, of bounded depth and with numbers that can be
// compared.
func readJSON(text string) (any, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("it is empty")
	}
	if err := scanJSON(text); err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	return v, nil
}

func scanJSON(text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not JSON: %w", err)
		}
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				depth++
			} else {
				depth--
			}
			if depth > maxDepth {
				return fmt.Errorf("it is nested more than %d deep", maxDepth)
			}
		case json.Number:
			if f, err := strconv.ParseFloat(v.String(), 64); err != nil || tiny(v.String(), f) {
				return fmt.Errorf("the number %s is out of range", clip.Text(v.String()))
			}
		}
	}
}

// tiny says that a number's exponent is far below zero; ParseFloat makes that 0.
func tiny(number string, f float64) bool {
	if f != 0 {
		return false
	}
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		exponent, err := strconv.Atoi(number[i+1:])
		return err != nil || exponent > maxExponent || exponent < -maxExponent
	}
	return false
}

// Instruction asks a model for an answer that matches, where the CLI cannot.
func (s *Schema) Instruction() string {
	return "Answer with one JSON value that is valid against the following JSON Schema, and with nothing else: " +
		"no explanation, no code fence.\n" + string(s.source)
}

// Complaint asks a model for the answer again, after Check said what is wrong.
func Complaint(violation error) string {
	return "This answer is not valid against the JSON Schema that was asked for: " + violation.Error() +
		"\nAnswer again with the corrected JSON value only: no explanation, no code fence."
}

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
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
	// maxTries is how many places in an answer are tried as the beginning of its JSON.
	maxTries = 16
)

// schema is a JSON Schema that answers are checked against.
type schema struct {
	source   json.RawMessage
	compiled *jsonschema.Schema
	graph    *schemaGraph
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

// compileSchema reads a schema, of draft 2020-12 unless it says otherwise. Formats are
// notes, as that draft has it.
func compileSchema(source json.RawMessage) (*schema, error) {
	invalid := func(err error) error {
		e := Errorf(CodeInvalidRequest, "the JSON schema is not valid: %s", clip(err.Error()))
		e.Param, e.Err = "response_format", err
		return e
	}
	if len(source) > maxSchema {
		return nil, invalid(fmt.Errorf("it has more than %d KiB", maxSchema>>10))
	}
	doc, err := readJSON(string(source))
	if err != nil {
		return nil, invalid(err)
	}
	const name = "urn:clinvk:schema"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noFetch{})
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(name, doc); err != nil {
		return nil, invalid(err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, invalid(err)
	}
	if cost(compiled, map[*jsonschema.Schema]int{}) > maxCost {
		return nil, invalid(errors.New("its parts refer to each other too often to be checked"))
	}
	return &schema{source: source, compiled: compiled, graph: newSchemaGraph(compiled)}, nil
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

// anyObject says that the schema is {"type":"object"} and no more: the JSON mode of
// clients, which providers that enforce schemas do not take for one.
func (s *schema) anyObject() bool {
	var members map[string]any
	return json.Unmarshal(s.source, &members) == nil && len(members) == 1 && members["type"] == "object"
}

// check says what is wrong with a text, nil: it is JSON that matches.
func (s *schema) check(text string) error {
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
		return errors.New(clip(invalid.Error()))
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
				return fmt.Errorf("the number %s is out of range", clip(v.String()))
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

// bareJSON is the JSON of an answer without what models put around it: white space,
// one fence, or prose around exactly one object or array. An answer in which that is
// not clear stays as it is.
func bareJSON(text string) string {
	text = strings.TrimSpace(text)
	if json.Valid([]byte(text)) {
		return text
	}
	if inner, ok := unfence(text); ok && json.Valid([]byte(inner)) {
		return inner
	}
	found := ""
	for at, tries := 0, 0; ; tries++ {
		next := strings.IndexAny(text[at:], "{[")
		if next < 0 {
			break
		}
		at += next
		if tries == maxTries {
			return text
		}
		d := json.NewDecoder(strings.NewReader(text[at:]))
		var value json.RawMessage
		if d.Decode(&value) != nil {
			at++
			continue
		}
		if found != "" {
			return text
		}
		end := at + int(d.InputOffset())
		found, at = text[at:end], end
	}
	if found == "" {
		return text
	}
	return found
}

// unfence takes the fence around a whole text off.
func unfence(text string) (inner string, ok bool) {
	const fence = "```"
	text, ok = strings.CutPrefix(text, fence)
	if !ok {
		return "", false
	}
	text, ok = strings.CutSuffix(text, fence)
	if !ok {
		return "", false
	}
	_, inner, ok = strings.Cut(text, "\n") // the first line names the language
	return strings.TrimSpace(inner), ok
}

// instruction asks a model for an answer that matches, where the CLI cannot.
func (s *schema) instruction() string {
	return "Answer with one JSON value that is valid against the following JSON Schema, and with nothing else: " +
		"no explanation, no code fence.\n" + string(s.source)
}

// complaint asks for the answer again.
func complaint(violation error) string {
	return "This answer is not valid against the JSON Schema that was asked for: " + violation.Error() +
		"\nAnswer again with the corrected JSON value only: no explanation, no code fence."
}

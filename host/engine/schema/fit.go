package schema

import (
	"encoding/json"
	"slices"
	"strings"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Fit is the schema as a backend's provider takes it; not ok: it takes none like it.
// What is added allows less than the client's schema does and never more, so that an
// answer that matches the one matches the other.
func (s *Schema) Fit(c *backendv1.StructuredOutputCapability) (fitting json.RawMessage, ok bool) {
	if !c.GetClosedObjects() && !c.GetAllRequired() && len(c.GetRefusedKeywords()) == 0 {
		return s.source, true
	}
	d := json.NewDecoder(strings.NewReader(string(s.source)))
	f := fitter{capability: c}
	if !f.schema(readPlace(d)) {
		return nil, false
	}
	out := []byte(s.source)
	for _, at := range slices.Backward(slices.Sorted(slices.Values(f.close))) {
		out = slices.Insert(out, at, []byte(`"additionalProperties":false,`)...)
	}
	return out, true
}

// place is a value of the schema's text, with where it is: what is added must leave the
// order of the properties alone, because models write them in that order.
type place struct {
	inside   int // behind the opening brace of an object
	names    []string
	members  map[string]*place
	elements []*place
	value    any // of a scalar
}

// readPlace reads one value of text that is known to be JSON.
func readPlace(d *json.Decoder) *place {
	token, err := d.Token()
	if err != nil { // cannot be
		return &place{}
	}
	p := &place{inside: int(d.InputOffset())}
	switch token {
	case json.Delim('{'):
		p.members = map[string]*place{}
		for d.More() {
			name, _ := d.Token() // a string
			key, _ := name.(string)
			p.names = append(p.names, key)
			p.members[key] = readPlace(d)
		}
		_, _ = d.Token()
	case json.Delim('['):
		for d.More() {
			p.elements = append(p.elements, readPlace(d))
		}
		_, _ = d.Token()
	default:
		p.value = token
	}
	return p
}

// fitter looks through a schema.
type fitter struct {
	capability *backendv1.StructuredOutputCapability
	close      []int // places where objects have to be closed
}

// Keywords that hold schemas: one, by name, and in a list.
var (
	oneSchema   = []string{"items", "additionalProperties", "additionalItems", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
	namedSchema = []string{"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
	listSchema  = []string{"anyOf", "oneOf", "allOf", "prefixItems", "items"}
)

func (f *fitter) schema(p *place) bool {
	if p.members == nil { // true and false
		return true
	}
	for _, name := range p.names {
		if slices.Contains(f.capability.GetRefusedKeywords(), name) {
			return false
		}
	}
	if p.isObject() && !f.object(p) {
		return false
	}
	for _, name := range p.names {
		child := p.members[name]
		if slices.Contains(oneSchema, name) && !f.schema(child) {
			return false
		}
		if slices.Contains(listSchema, name) && !f.all(child.elements) {
			return false
		}
		if slices.Contains(namedSchema, name) {
			for _, of := range child.names {
				if !f.schema(child.members[of]) {
					return false
				}
			}
		}
	}
	return true
}

func (f *fitter) all(schemas []*place) bool {
	return !slices.ContainsFunc(schemas, func(p *place) bool { return !f.schema(p) })
}

// isObject says that a schema describes an object.
func (p *place) isObject() bool {
	kind := p.members["type"]
	if kind == nil {
		return p.members["properties"] != nil
	}
	return kind.value == "object" || slices.ContainsFunc(kind.elements, func(e *place) bool { return e.value == "object" })
}

// object checks, and closes, the schema of an object.
func (f *fitter) object(p *place) bool {
	if f.capability.GetClosedObjects() {
		switch more := p.members["additionalProperties"]; {
		case more == nil:
			// Properties that stand beside these would be shut out.
			for _, beside := range []string{"allOf", "anyOf", "oneOf", "$ref", "if"} {
				if p.members[beside] != nil {
					return false
				}
			}
			f.close = append(f.close, p.inside)
		case more.value != false:
			return false
		}
	}
	properties := p.members["properties"]
	if properties == nil { // any object: nothing could be in it once it is closed
		return !f.capability.GetClosedObjects()
	}
	if !f.capability.GetAllRequired() {
		return true
	}
	required := p.members["required"]
	for _, name := range properties.names {
		if required == nil || !slices.ContainsFunc(required.elements, func(e *place) bool { return e.value == name }) {
			return false
		}
	}
	return true
}

package schema

import (
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxWork is how often parts of a schema may be applied to parts of an answer: a second
// or two of one processor. Schemas that offer themselves twice for the same member
// double that with every level of the answer.
const maxWork = 2_000_000

// graph is how the parts of a schema lead to each other.
type graph struct {
	root *jsonschema.Schema
	// parts come before those that they apply to the same value.
	parts []*jsonschema.Schema
}

func newGraph(root *jsonschema.Schema) *graph {
	g := &graph{root: root}
	seen := map[*jsonschema.Schema]bool{}
	var inside []*jsonschema.Schema // found, and not looked through
	var visit func(s *jsonschema.Schema)
	visit = func(s *jsonschema.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		for _, part := range samePlace(s) {
			visit(part)
		}
		members, elements := insidePlace(s)
		inside = append(append(inside, members...), elements...)
		g.parts = append(g.parts, s)
	}
	for inside = append(inside, root); len(inside) > 0; {
		next := inside[len(inside)-1]
		inside = inside[:len(inside)-1]
		visit(next)
	}
	for i, j := 0, len(g.parts)-1; i < j; i, j = i+1, j-1 {
		g.parts[i], g.parts[j] = g.parts[j], g.parts[i]
	}
	return g
}

// work is at least how often parts are applied to a value, at most maxWork+1.
func (g *graph) work(v any) int {
	total := 0
	counts := map[*jsonschema.Schema]int{g.root: 1}
	for _, values := range levels(v, nil, 0) {
		members, elements := map[*jsonschema.Schema]int{}, map[*jsonschema.Schema]int{}
		for _, s := range g.parts {
			n := counts[s]
			if n == 0 {
				continue
			}
			if total = min(total+min(n*values, maxWork+1), maxWork+1); total > maxWork {
				return total
			}
			for _, part := range samePlace(s) {
				counts[part] = min(counts[part]+n, maxWork+1)
			}
			ofMembers, ofElements := insidePlace(s)
			for _, part := range ofMembers {
				members[part] = min(members[part]+n, maxWork+1)
			}
			for _, part := range ofElements {
				elements[part] = min(elements[part]+n, maxWork+1)
			}
		}
		for part, n := range elements { // a value has members or elements, not both
			members[part] = max(members[part], n)
		}
		counts = members
	}
	return total
}

// levels counts the values at each depth.
func levels(v any, counts []int, depth int) []int {
	if depth == len(counts) {
		counts = append(counts, 0)
	}
	counts[depth]++
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			counts = levels(member, counts, depth+1)
		}
	case []any:
		for _, element := range v {
			counts = levels(element, counts, depth+1)
		}
	}
	return counts
}

// samePlace lists the parts that a schema applies to the value itself.
func samePlace(s *jsonschema.Schema) []*jsonschema.Schema {
	parts := []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}
	if s.DynamicRef != nil {
		parts = append(parts, s.DynamicRef.Ref)
	}
	parts = append(append(append(parts, s.AllOf...), s.AnyOf...), s.OneOf...)
	for _, part := range s.DependentSchemas {
		parts = append(parts, part)
	}
	for _, d := range s.Dependencies {
		if part, ok := d.(*jsonschema.Schema); ok {
			parts = append(parts, part)
		}
	}
	return present(parts)
}

// insidePlace lists the parts that a schema applies to one member, and to one element.
// A member has one name, so that of the properties only one counts.
func insidePlace(s *jsonschema.Schema) (members, elements []*jsonschema.Schema) {
	for _, part := range s.Properties {
		members = append(members, referred(part))
	}
	members = distinct(members)
	members = append(members, s.UnevaluatedProperties, schemaOf(s.AdditionalProperties), s.PropertyNames)
	for _, part := range s.PatternProperties {
		members = append(members, part)
	}
	list, _ := s.Items.([]*jsonschema.Schema)
	for _, part := range slices.Concat(list, s.PrefixItems) {
		elements = append(elements, referred(part))
	}
	elements = distinct(elements)
	elements = append(elements, s.Items2020, schemaOf(s.Items), schemaOf(s.AdditionalItems), s.Contains, s.UnevaluatedItems)
	return referredAll(members), referredAll(elements)
}

func referredAll(parts []*jsonschema.Schema) []*jsonschema.Schema {
	for i, s := range parts {
		parts[i] = referred(s)
	}
	return present(parts)
}

// referred is the schema that one that only refers leads to: two properties of one type
// are one.
func referred(s *jsonschema.Schema) *jsonschema.Schema {
	for steps := 0; s != nil && s.Ref != nil && steps < maxDepth; steps++ {
		s = s.Ref
	}
	return s
}

func schemaOf(v any) *jsonschema.Schema {
	s, _ := v.(*jsonschema.Schema)
	return s
}

func present(parts []*jsonschema.Schema) []*jsonschema.Schema {
	out := parts[:0]
	for _, s := range parts {
		if s != nil {
			out = append(out, s)
		}
	}
	return out
}

func distinct(parts []*jsonschema.Schema) []*jsonschema.Schema {
	seen := map[*jsonschema.Schema]bool{}
	out := parts[:0]
	for _, s := range parts {
		if s != nil && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// document31 is what the page shows of an OpenAPI 3.1 document.
type document31 struct {
	Info       struct{ Title, Version, Description string }
	Tags       []struct{ Name, Description string }
	Paths      map[string]map[string]operation
	Components struct {
		Schemas    map[string]*schema
		Parameters map[string]parameter
		Responses  map[string]response
	}
}

type operation struct {
	OperationID, Summary, Description string
	Tags                              []string
	Also                              []string `json:"x-also"`
	Parameters                        []parameter
	RequestBody                       *struct{ Content map[string]media }
	Responses                         map[string]response
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                *schema
}

type response struct {
	Ref         string `json:"$ref"`
	Description string
	Content     map[string]media
}

type media struct {
	Schema  *schema
	Example json.RawMessage
}

// schema is the part of JSON Schema that the page understands; a schema may also be
// true or false.
type schema struct {
	Ref                  string `json:"$ref"`
	Description          string
	Type                 names
	Enum                 []any
	Const                any
	Default              any
	Items                *schema
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties *schema
	OneOf, AnyOf, AllOf  []*schema
}

// UnmarshalJSON reads true and false as schemas that say nothing.
func (s *schema) UnmarshalJSON(b []byte) error {
	if string(b) == "true" || string(b) == "false" {
		return nil
	}
	type plain schema
	return json.Unmarshal(b, (*plain)(s))
}

// names is one or several.
type names []string

func (n *names) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(n))
	}
	*n = names{""}
	return json.Unmarshal(b, &(*n)[0])
}

// word is a piece of a type's description; Link is the schema it names, if it does.
type word struct{ Text, Link string }

// words describe a type in one line.
func (s *schema) words() []word {
	switch {
	case s == nil:
		return []word{{Text: "anything"}}
	case s.Ref != "":
		return []word{{Text: last(s.Ref), Link: last(s.Ref)}}
	case s.Const != nil:
		return []word{{Text: literal(s.Const)}}
	case len(s.Enum) > 0:
		all := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			all[i] = literal(v)
		}
		return append([]word{{Text: strings.Join(all, " | ")}}, s.preset()...)
	case len(s.OneOf) > 0:
		return joined(s.OneOf, " | ")
	case len(s.AnyOf) > 0:
		return joined(s.AnyOf, " | ")
	case len(s.AllOf) > 0:
		return joined(s.AllOf, " & ")
	case slices.Contains(s.Type, "array") && s.Items != nil:
		return append([]word{{Text: "array of "}}, s.Items.words()...)
	case len(s.Type) > 0:
		return append([]word{{Text: strings.Join(s.Type, " | ")}}, s.preset()...)
	}
	return []word{{Text: "anything"}}
}

func joined(schemas []*schema, by string) (out []word) {
	for i, s := range schemas {
		if i > 0 {
			out = append(out, word{Text: by})
		}
		out = append(out, s.words()...)
	}
	return out
}

// preset tells the default, if there is one.
func (s *schema) preset() []word {
	if s.Default == nil {
		return nil
	}
	return []word{{Text: ", default " + literal(s.Default)}}
}

// literal writes a value as JSON does.
func literal(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // it came out of JSON
		return fmt.Sprint(v)
	}
	return string(b)
}

// fields are the properties of an object, required ones first, also those that it
// has from the schemas it is made of.
func (s *schema) fields() (out []field) {
	properties := slices.Sorted(maps.Keys(s.Properties))
	slices.SortStableFunc(properties, func(a, b string) int {
		switch x, y := slices.Contains(s.Required, a), slices.Contains(s.Required, b); {
		case x && !y:
			return -1
		case y && !x:
			return 1
		}
		return 0
	})
	for _, name := range properties {
		p := s.Properties[name]
		out = append(out, field{Name: name, Description: p.Description, Required: slices.Contains(s.Required, name), Type: p.words()})
	}
	for _, part := range s.AllOf {
		out = append(out, part.fields()...)
	}
	return out
}

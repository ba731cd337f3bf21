package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// schema is the part of JSON Schema that sample understands.
type schema struct {
	Type       any                `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MinLength  int                `json:"minLength"`
	Minimum    *float64           `json:"minimum"`
	Enum       []any              `json:"enum"`
	Const      any                `json:"const"`
	Default    any                `json:"default"`
	AnyOf      []*schema          `json:"anyOf"`
	OneOf      []*schema          `json:"oneOf"`
}

// maxDepth bounds nesting.
const maxDepth = 32

// sample makes a value that a schema describes: constants, defaults and first enum
// values where given, otherwise the simplest value of the type.
func sample(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	var s schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	if s.Type == nil && s.Properties == nil && len(s.Enum) == 0 && s.Const == nil && len(s.AnyOf) == 0 && len(s.OneOf) == 0 {
		return map[string]any{}, nil
	}
	return s.value(0)
}

func (s *schema) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	switch {
	case s == nil:
		return nil, nil
	case s.Const != nil:
		return s.Const, nil
	case s.Default != nil:
		return s.Default, nil
	case len(s.Enum) > 0:
		return s.Enum[0], nil
	case len(s.AnyOf) > 0:
		return s.AnyOf[0].value(depth + 1)
	case len(s.OneOf) > 0:
		return s.OneOf[0].value(depth + 1)
	}
	switch s.kind() {
	case "object":
		return s.object(depth)
	case "array":
		out := make([]any, 0, s.MinItems)
		for range min(s.MinItems, 100) {
			v, err := s.Items.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case "string":
		return "text" + strings.Repeat("x", max(0, min(s.MinLength, 1000)-len("text"))), nil
	case "integer", "number":
		if s.Minimum != nil {
			return *s.Minimum, nil
		}
		return 1, nil
	case "boolean":
		return true, nil
	}
	return nil, nil
}

func (s *schema) object(depth int) (any, error) {
	out := map[string]any{}
	for name, p := range s.Properties {
		if len(s.Required) > 0 && !slices.Contains(s.Required, name) {
			continue
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return out, nil
}

// kind is the first type that is named and not null.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, v := range t {
			if name, ok := v.(string); ok && name != "null" {
				return name
			}
		}
	}
	if s.Properties != nil {
		return "object"
	}
	return ""
}

package main

import (
	"context"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/clinvk/clinvk/host/config"
)

// readRequest reads a file with the body of a request, JSON or YAML; "-" is stdin. A
// bare list is the member named list.
func readRequest(ctx context.Context, path, list string, s streams) (map[string]any, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = readInput(ctx, s)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", list, err)
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("%s is neither JSON nor YAML: %w", path, err)
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case []any:
		return map[string]any{list: v}, nil
	}
	return nil, fmt.Errorf("%s must hold a list of %s, or an object with %[2]s", path, list)
}

// count is how many there are of what a request lists.
func count(q map[string]any, list string) int {
	items, _ := q[list].([]any)
	return len(items)
}

// named lists the backends that the items of a request name; nil: some name none.
func named(q map[string]any, list string) func(*config.Config) []string {
	return func(c *config.Config) []string {
		var out []string
		items, _ := q[list].([]any)
		for _, item := range items {
			fields, _ := item.(map[string]any)
			backend, _ := fields["backend"].(string)
			model, _ := fields["model"].(string)
			need := only(backend, model)(c)
			if need == nil {
				return nil
			}
			out = append(out, need...)
		}
		return out
	}
}

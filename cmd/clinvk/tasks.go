package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/clinvk/clinvk/host/config"
)

// readRequest reads a file with the body of a request, JSON or YAML; "-" is stdin. A
// bare list is the member named list. The items work in this directory, or below.
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
		return v, settle(v, list)
	case []any:
		q := map[string]any{list: v}
		return q, settle(q, list)
	}
	return nil, fmt.Errorf("%s must hold a list of %s, or an object with %[2]s", path, list)
}

// settle gives the items of a request this directory to work in, where they do not say
// another one; theirs may be below this one. A step that is given the directory of the
// one before (pass_working_dir) has none of its own.
func settle(q map[string]any, list string) error {
	items, _ := q[list].([]any)
	passed, _ := q["pass_working_dir"].(bool)
	for i, item := range items {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		dir, ok := fields["workdir"].(string)
		if !ok && fields["workdir"] != nil || dir == "" && (fields["mode"] == "chat" || passed && i > 0) {
			continue
		}
		dir, err := filepath.Abs(dir) // empty: this one
		if err != nil {
			return fmt.Errorf("the working directory: %w", err)
		}
		fields["workdir"] = dir
	}
	return nil
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

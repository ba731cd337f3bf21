package openapi

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var files embed.FS

// Document is the OpenAPI 3.1 document as JSON; version is that of the server.
func Document(version string) ([]byte, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("reading the OpenAPI files: %w", err)
	}
	doc := map[string]any{}
	for _, e := range entries {
		text, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.Name(), err)
		}
		var part map[string]any
		if err := yaml.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("reading %s: %w", e.Name(), err)
		}
		if err := merge(doc, part, ""); err != nil {
			return nil, fmt.Errorf("merging %s: %w", e.Name(), err)
		}
	}
	info, ok := doc["info"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the OpenAPI files have no info")
	}
	info["version"] = version
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	return out, nil
}

// merge adds part to doc. Objects are merged, anything else must be there once.
func merge(doc, part map[string]any, path string) error {
	for key, value := range part {
		old, exists := doc[key]
		if !exists {
			if m, ok := value.(map[string]any); ok {
				value = maps.Clone(m)
			}
			doc[key] = value
			continue
		}
		to, ok := old.(map[string]any)
		from, ok2 := value.(map[string]any)
		if !ok || !ok2 {
			return fmt.Errorf("%s/%s is there twice", path, key)
		}
		if err := merge(to, from, path+"/"+key); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/clinvk/clinvk/plugins"
)

// unbounded is a context window that no conversation fills: the CLI would
// otherwise replace a long history by a summary of its own making.
const unbounded = 1_000_000_000

// chatOverrides are the fields of a model's entry that make the CLI send the
// conversation alone: no tools, no instructions, no compaction.
var chatOverrides = map[string]any{
	"tool_mode": "direct", "apply_patch_tool_type": nil, "experimental_supported_tools": []any{},
	"multi_agent_version": nil, "supports_search_tool": false,
	"base_instructions": "", "model_messages": nil, "supports_reasoning_effort_updates": false,
	"context_window": unbounded, "max_context_window": unbounded, "auto_compact_token_limit": unbounded,
}

// catalog is what the CLI knows about models.
type catalog struct {
	// models are those that it shows, the default first.
	models []plugins.Model
	// lite are the models that have their tools in a namespace.
	lite map[string]bool
	// chat is the catalog for chat mode, as a file for model_catalog_json.
	chat []byte
}

// cachedCatalog is the CLI's own list as it was asked for, with what it was of.
type cachedCatalog struct {
	Program string          `json:"program"`
	Models  json.RawMessage `json:"models"`
}

// loadCatalog asks the CLI for the catalog that it was built with; no network.
// The answer is kept in the file cache: asking takes 80 ms.
func loadCatalog(ctx context.Context, p program, env []string, cache string) (catalog, error) {
	key := fmt.Sprintf("%s %d %s", p.path, p.size, p.changed.UTC().Format(time.RFC3339Nano))
	var kept cachedCatalog
	if text, err := os.ReadFile(cache); err == nil && json.Unmarshal(text, &kept) == nil && kept.Program == key {
		if c, err := parseCatalog(kept.Models); err == nil {
			return c, nil
		}
	}
	out, err := p.output(ctx, env, "debug", "models", "--bundled")
	if err != nil {
		return catalog{}, fmt.Errorf("asking the CLI for its models: %w", err)
	}
	c, err := parseCatalog([]byte(out))
	if err != nil {
		return catalog{}, err
	}
	text, err := json.Marshal(cachedCatalog{Program: key, Models: json.RawMessage(out)})
	if err == nil {
		err = writeFile(cache, text)
	}
	if err != nil {
		return catalog{}, fmt.Errorf("keeping the CLI's models: %w", err)
	}
	return c, nil
}

func parseCatalog(text []byte) (catalog, error) {
	var file struct {
		Models []map[string]any `json:"models"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return catalog{}, fmt.Errorf("reading the CLI's models: %w", err)
	}
	type listed struct {
		model    plugins.Model
		priority float64
	}
	var shown []listed
	c := catalog{lite: map[string]bool{}}
	for _, m := range file.Models {
		id, _ := m["slug"].(string)
		c.lite[id], _ = m["use_responses_lite"].(bool)
		if visibility, _ := m["visibility"].(string); id != "" && visibility == "list" {
			title, _ := m["display_name"].(string)
			window, _ := m["context_window"].(float64)
			priority, _ := m["priority"].(float64)
			shown = append(shown, listed{plugins.Model{ID: id, Title: title, ContextWindow: int64(window)}, priority})
		}
		for key, value := range chatOverrides {
			m[key] = value
		}
	}
	if len(shown) == 0 {
		return catalog{}, fmt.Errorf("reading the CLI's models: there are none")
	}
	slices.SortStableFunc(shown, func(a, b listed) int { return cmp.Compare(a.priority, b.priority) })
	for _, l := range shown {
		c.models = append(c.models, l.model)
	}
	var err error
	if c.chat, err = json.Marshal(map[string]any{"models": file.Models}); err != nil {
		return catalog{}, fmt.Errorf("writing the CLI's models: %w", err)
	}
	return c, nil
}

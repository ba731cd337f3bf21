package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Names of the CLI's providers in our configuration, chosen per thread.
const (
	providerSocket = "clinvk"
	providerEvents = "clinvk-sse"
)

// home is the private CODEX_HOME of chat mode: the user's instructions, MCP
// servers, hooks and settings have no place in it. The user's login is there by
// a link to auth.json, which is never opened by us; a login that the user's
// configuration keeps in a keyring is not found in chat mode.
type home struct{ dir string }

func (h home) catalog() string { return filepath.Join(h.dir, "catalog.json") }

// maxLog bounds the CLI's own log in the home, in bytes: it grows by about 25 KB
// with each turn (it holds no words of conversations).
const maxLog = 256 << 20

// trim removes a log that has grown. No CLI may be running in the home.
func (h home) trim() error {
	logs, err := filepath.Glob(filepath.Join(h.dir, "logs_*.sqlite*"))
	if err != nil {
		return fmt.Errorf("looking for the CLI's log: %w", err)
	}
	var size int64
	for _, name := range logs {
		if info, err := os.Stat(name); err == nil {
			size += info.Size()
		}
	}
	if size <= maxLog {
		return nil
	}
	for _, name := range logs {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// write makes the home what it should be. It may be called again and again.
func (h home) write(a access, model string) error {
	if err := os.MkdirAll(h.dir, 0o700); err != nil {
		return fmt.Errorf("making the private home of the CLI: %w", err)
	}
	if err := writeFile(filepath.Join(h.dir, "config.toml"), []byte(tomlFile(h.settings(a, model)))); err != nil {
		return fmt.Errorf("configuring the CLI: %w", err)
	}
	return h.linkLogin(a)
}

// linkLogin makes the user's login the home's.
func (h home) linkLogin(a access) error {
	link, target := filepath.Join(h.dir, "auth.json"), filepath.Join(a.userHome, "auth.json")
	if !a.needsLogin() || a.userHome == "" {
		target = ""
	}
	if now, err := os.Readlink(link); err == nil && now == target {
		return nil
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("linking the CLI's login: %w", err)
	}
	if target == "" {
		return nil
	}
	// The link may dangle: the login can be made later.
	if err := os.Symlink(target, link); err != nil {
		return fmt.Errorf("linking the CLI's login: %w", err)
	}
	return nil
}

// features are the CLI's abilities that would add to the conversation, offer
// tools, or use the network by themselves.
var features = []string{
	"unbounded_connection_retries", "shell_tool", "unified_exec", "view_image", "goals", "apps", "plugins",
	"skill_search", "hooks", "image_generation", "tool_suggest", "sleep_tool", "browser_use", "in_app_browser",
	"computer_use", "memories", "shell_snapshot",
}

// settings of chat mode: the model server gets the conversation and nothing else.
func (h home) settings(a access, model string) []setting {
	s := []setting{
		{"model", model},
		{"model_provider", providerSocket},
		{"model_catalog_json", h.catalog()},
		{"approval_policy", "never"},
		{"sandbox_mode", "read-only"},
		{"web_search", "disabled"},
		{"check_for_update_on_startup", false},
		{"include_permissions_instructions", false},
		{"include_environment_context", false},
		{"include_apps_instructions", false},
		{"include_collaboration_mode_instructions", false},
		{"project_doc_max_bytes", 0},
		{"thread_unload_delay_secs", 0},
		{"notify", []string{}},
		{"history.persistence", "none"},
		{"analytics.enabled", false},
		{"agents.enabled", false},
		{"skills.include_instructions", false},
		{"skills.bundled.enabled", false},
		{"tools.update_plan.enabled", false},
		{"tools.experimental_request_user_input.enabled", false},
	}
	for _, f := range features {
		s = append(s, setting{"features." + f, false})
	}
	return append(s,
		setting{"model_providers." + providerSocket, a.provider(true)},
		setting{"model_providers." + providerEvents, a.provider(false)},
	)
}

// agentSettings are laid over the user's own configuration in agent mode: where
// the key and endpoint come from, and what a server must not do by itself.
func agentSettings(a access, websockets bool) []setting {
	always := []setting{
		{"check_for_update_on_startup", false},
		{"analytics.enabled", false},
		{"thread_unload_delay_secs", 0},
		{"features.unbounded_connection_retries", false},
	}
	if a.needsLogin() {
		return always // also a provider of the user's own choice stays
	}
	return slices.Concat(always, []setting{
		{"model_provider", providerSocket},
		{"model_providers." + providerSocket, a.provider(websockets)},
		{"model_providers." + providerEvents, a.provider(false)},
		// Nothing of these talks to the configured endpoint.
		{"features.apps", false},
		{"features.plugins", false},
	})
}

// writeFile replaces a file so that a reader sees the old or the new one.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

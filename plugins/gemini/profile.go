package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

type object = map[string]any

// common are the settings of every process: nothing is reported, updated or
// retried behind our back.
func (b *backend) common() object {
	return object{
		"general": object{
			"enableAutoUpdate": false, "enableAutoUpdateNotification": false,
			"sessionRetention": object{"enabled": false}, "plan": object{"enabled": false},
			"topicUpdateNarration": false, "maxAttempts": 1, "retryFetchErrors": false,
		},
		"privacy":   object{"usageStatisticsEnabled": false},
		"telemetry": object{"enabled": false},
		"ui":        object{"hideBanner": true, "hideTips": true, "showHomeDirectoryWarning": false, "showCompatibilityWarnings": false},
		"model":     object{"disableLoopDetection": true, "skipNextSpeakerCheck": true, "compressionThreshold": 0.95},
		"security": object{
			"auth":        object{"selectedType": string(findLogin(b.config.Environment).kind)},
			"folderTrust": object{"enabled": false},
		},
		"advanced": object{"ignoreLocalEnv": true, "autoConfigureMemory": false},
	}
}

// chatProfile is that of processes that add nothing to a conversation. Generation
// settings are part of it only where they cannot come with the session.
func (b *backend) chatProfile(g wire.Generation) (fleet.Profile, error) {
	s := merge(b.common(), object{
		"context":       object{"fileName": "CLINVK-NO-CONTEXT.md", "includeDirectoryTree": false, "discoveryMaxDirs": 0, "memoryBoundaryMarkers": []any{}},
		"tools":         object{"core": []any{}, "useRipgrep": false},
		"skills":        object{"enabled": false},
		"hooksConfig":   object{"enabled": false},
		"experimental":  object{"enableAgents": false},
		"admin":         object{"extensions": object{"enabled": false}, "skills": object{"enabled": false}},
		"useWriteTodos": false,
	})
	return profile(s, g, fleet.Profile{SystemFile: true})
}

// Tools that a sandbox takes from the agent.
var (
	// Reading only: what changes a file, and what cannot be kept from it.
	notReading = []string{"write_file", "replace", "run_shell_command", "save_memory", "mcp_*"}
	// Writing only below the working directory: the CLI binds its own file tools to
	// it, but not what a shell or another program's tool does.
	notBound = []string{"run_shell_command", "mcp_*"}
)

// agentProfile is that of processes that work with tools. The user's own settings
// lie below ours.
func (b *backend) agentProfile(turn *plugins.Turn, g wire.Generation) (fleet.Profile, error) {
	s := merge(b.userSettings(), b.common())
	s = merge(s, object{"tools": object{"useRipgrep": false}})
	switch turn.Sandbox {
	case plugins.SandboxReadOnly:
		s = merge(s, object{"tools": object{"exclude": notReading}, "mcpServers": nil})
	case plugins.SandboxWorkspace:
		s = merge(s, object{"tools": object{"exclude": notBound}, "mcpServers": nil})
	case plugins.SandboxDefault, plugins.SandboxFull:
	}
	if turn.MaxSteps > 0 {
		s = merge(s, object{"model": object{"maxSessionTurns": turn.MaxSteps}})
	}
	return profile(s, g, fleet.Profile{User: true, Once: s["mcpServers"] != nil || b.hasExtensions()})
}

func profile(s object, g wire.Generation, p fleet.Profile) (fleet.Profile, error) {
	if !g.Empty() {
		s = merge(s, object{"modelConfigs": wire.Override(g)})
	}
	text, err := json.Marshal(s) // members are sorted: equal settings are equal text
	if err != nil {
		return p, fmt.Errorf("writing the CLI's settings: %w", err)
	}
	p.Settings = string(text)
	return p, nil
}

// hasExtensions says that the user has extensions, which may bring MCP servers.
func (b *backend) hasExtensions() bool {
	entries, err := os.ReadDir(filepath.Join(userState(b.config.Environment), "extensions"))
	return err == nil && len(entries) > 0
}

// userSettings are what the user has set for the CLI, as far as it is plain JSON.
// No login is in there.
func (b *backend) userSettings() object {
	text, err := os.ReadFile(filepath.Join(userState(b.config.Environment), "settings.json"))
	if err != nil {
		return object{}
	}
	s := object{}
	if json.Unmarshal(text, &s) != nil {
		return object{} // with comments in it, which only the CLI reads
	}
	return s
}

// merge lays over on under, object by object; neither is changed. nil in over
// takes away.
func merge(under, over object) object {
	out := maps.Clone(under)
	if out == nil {
		out = object{}
	}
	for name, value := range over {
		if value == nil {
			delete(out, name)
			continue
		}
		a, okA := out[name].(object)
		b, okB := value.(object)
		if okA && okB {
			out[name] = merge(a, b)
			continue
		}
		out[name] = value
	}
	return out
}

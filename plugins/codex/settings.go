package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/clinvk/clinvk/plugins"
)

// Transports to the model server.
const (
	transportAuto = "auto" // WebSocket, and events over HTTP where there is none
	transportSSE  = "sse"
)

// settings are what the operator configured; configSchema describes them.
type settings struct {
	Transport string `json:"transport"`
	Model     string `json:"model"`
	// ReasoningSummary is auto, concise, detailed or none; empty: as the model's
	// entry in the CLI's catalog says.
	ReasoningSummary string `json:"reasoning_summary"`
}

const configSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "transport": {
      "enum": ["auto", "sse"],
      "default": "auto",
      "description": "How the CLI talks to the model server: over WebSocket where the server has it (auto), or with server-sent events only (sse)."
    },
    "model": {
      "type": "string",
      "minLength": 1,
      "description": "The default model in chat mode; without it the first of the CLI's own catalog."
    },
    "reasoning_summary": {
      "enum": ["auto", "concise", "detailed", "none"],
      "description": "Which summary of its reasoning the model is asked for; without it what the CLI's catalog says for the model."
    }
  }
}`

func parseSettings(raw json.RawMessage) (settings, []plugins.Diagnostic) {
	s := settings{Transport: transportAuto}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &s); err != nil {
			return s, []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: fmt.Sprintf("the options are not valid: %v", err)}}
		}
	}
	var found []plugins.Diagnostic
	check := func(path, value string, allowed ...string) {
		if value != "" && !slices.Contains(allowed, value) {
			found = append(found, plugins.Diagnostic{
				Severity: plugins.SeverityError, Path: path, Summary: fmt.Sprintf("%q is not one of %q", value, allowed),
			})
		}
	}
	check("/transport", s.Transport, transportAuto, transportSSE)
	check("/reasoning_summary", s.ReasoningSummary, "auto", "concise", "detailed", "none")
	if s.Transport == "" {
		s.Transport = transportAuto
	}
	return s, found
}

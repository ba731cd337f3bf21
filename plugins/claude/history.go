package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// told makes of messages what the API takes from the model that is asked: names and
// arguments of its form, reasoning that it signed itself. Messages that say nothing
// are left out, and neighbours of one role joined: the API knows no such
// neighbours, and the CLI would add a line break to the text of the first.
func told(messages []plugins.Message, model string) []plugins.Message {
	var out []plugins.Message
	for _, m := range messages {
		parts := partsTold(m.Role, m.Parts, model)
		n := len(out)
		switch {
		case len(parts) == 0:
		case n > 0 && out[n-1].Role == m.Role:
			out[n-1].Parts = slices.Concat(out[n-1].Parts, parts)
		default:
			out = append(out, plugins.Message{Role: m.Role, Parts: parts})
		}
	}
	return out
}

func partsTold(role plugins.Role, parts []plugins.Part, model string) []plugins.Part {
	var out []plugins.Part
	for _, part := range parts {
		switch v := part.(type) {
		case plugins.Text:
			if strings.TrimSpace(string(v)) == "" {
				continue // the API takes none
			}
		case plugins.Reasoning:
			bare, ok := unsealed(v.Signature, model)
			if role != plugins.RoleAssistant || !ok {
				continue
			}
			v.Signature = bare
			part = v
		case plugins.ToolCall:
			v.ID, v.Name, v.Arguments = idTold(v.ID), nameTold(v.Name), argumentsTold(v.Arguments)
			part = v
		case plugins.ToolResult:
			v.CallID, v.Parts = idTold(v.CallID), partsTold(role, v.Parts, model)
			part = v
		}
		out = append(out, part)
	}
	return out
}

// maxName is the longest name of a tool that the API takes.
const maxName = 128

var (
	allowedID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	forbidden = regexp.MustCompile(`[^A-Za-z0-9_-]`)
)

// idTold is the id of a call in the API's form. Another client's id becomes the same
// one each time, so that call and result stay together, also over several turns.
func idTold(id string) string {
	if allowedID.MatchString(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

// nameTold is the name of a tool in the API's form.
func nameTold(name string) string {
	name = forbidden.ReplaceAllString(name, "_")
	if name == "" {
		return "_"
	}
	return name[:min(len(name), maxName)]
}

// argumentsTold are arguments as an object. Those of a call that was cut, or that
// are none by another model's fault, are kept as text.
func argumentsTold(arguments string) string {
	if strings.TrimSpace(arguments) == "" {
		return "{}"
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(arguments), &object) == nil && object != nil {
		return arguments
	}
	wrapped, _ := json.Marshal(map[string]string{"arguments": arguments}) // strings always are JSON
	return string(wrapped)
}

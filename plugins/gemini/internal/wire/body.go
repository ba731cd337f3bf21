package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/clinvk/clinvk/plugins"
)

// Dollar is the environment variable that the CLI must run with, holding "$":
// the CLI replaces $NAME in its settings by the variable, so that a client's text
// could read the CLI's environment. Each "$" is written as ${Dollar} instead.
const Dollar = "CLINVK_DOLLAR"

// Body is what replaces the parts of the CLI's request to the API.
type Body struct {
	Contents []Content
	// System is the caller's instructions; empty: none are sent.
	System     string
	Tools      []plugins.Tool
	ToolChoice plugins.ToolChoice
	Generation Generation
}

// Settings is the settings file of a session with this body. The CLI lays
// httpOptions.extraBody over the request that it would have sent, which replaces
// the conversation, the instructions and the tools as a whole; maxSessionTurns
// keeps it from going on by itself after a call of the client's tools.
func (b Body) Settings() ([]byte, error) {
	extra := map[string]any{"contents": b.Contents, "systemInstruction": nil, "tools": []any{}}
	if b.System != "" {
		extra["systemInstruction"] = Content{Role: "user", Parts: []Part{text(b.System)}}
	}
	if len(b.Tools) > 0 {
		extra["tools"] = []any{map[string]any{"functionDeclarations": declarations(b.Tools)}}
		if c := choice(b.ToolChoice); c != nil {
			extra["toolConfig"] = map[string]any{"functionCallingConfig": c}
		}
	}
	if !b.Generation.Empty() {
		g, err := overlay(b.Generation)
		if err != nil {
			return nil, err
		}
		extra["generationConfig"] = g
	}
	settings, err := json.Marshal(map[string]any{
		"model":        map[string]any{"maxSessionTurns": 1},
		"modelConfigs": Override(map[string]any{"httpOptions": map[string]any{"extraBody": extra}}),
	})
	if err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	return escape(settings), nil
}

// Override is the value of modelConfigs that lays a generateContentConfig over
// that of whichever model answers the user.
func Override(config any) any {
	return map[string]any{"customOverrides": []any{map[string]any{
		"match":       map[string]any{"overrideScope": "core"},
		"modelConfig": map[string]any{"generateContentConfig": config},
	}}}
}

// overlay makes g replace what the CLI has set: of budget and level, which exclude
// each other, the one that g leaves out is taken away.
func overlay(g Generation) (map[string]any, error) {
	b, err := json.Marshal(g)
	if err != nil {
		return nil, fmt.Errorf("writing the generation settings: %w", err)
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("writing the generation settings: %w", err)
	}
	switch {
	case g.Thinking == nil:
	case g.Thinking.Budget != nil:
		m["thinkingConfig"].(map[string]any)["thinkingLevel"] = nil
	default:
		m["thinkingConfig"].(map[string]any)["thinkingBudget"] = nil
	}
	return m, nil
}

type declaration struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Parameters  json.RawMessage `json:"parametersJsonSchema,omitempty"`
}

func declarations(tools []plugins.Tool) []declaration {
	out := make([]declaration, 0, len(tools))
	for _, t := range tools {
		out = append(out, declaration{Name: t.Name, Description: t.Description, Parameters: t.InputSchema})
	}
	return out
}

func choice(c plugins.ToolChoice) map[string]any {
	switch c.Kind {
	case plugins.ToolChoiceRequired:
		return map[string]any{"mode": "ANY"}
	case plugins.ToolChoiceNone:
		return map[string]any{"mode": "NONE"}
	case plugins.ToolChoiceName:
		return map[string]any{"mode": "ANY", "allowedFunctionNames": []string{c.Name}}
	case plugins.ToolChoiceAuto:
	}
	return nil
}

// escape writes each "$" in a string value of JSON text as ${Dollar}; names of
// members are not replaced by the CLI and stay.
func escape(in []byte) []byte {
	if !bytes.ContainsRune(in, '$') {
		return in
	}
	out := make([]byte, 0, len(in)+len(in)/8)
	for i := 0; i < len(in); i++ {
		if in[i] != '"' {
			out = append(out, in[i])
			continue
		}
		end := i + 1
		for in[end] != '"' {
			if in[end] == '\\' {
				end++
			}
			end++
		}
		s := in[i : end+1]
		if end+1 >= len(in) || in[end+1] != ':' { // encoding/json puts no space there
			s = bytes.ReplaceAll(s, []byte("$"), []byte("${"+Dollar+"}"))
		}
		out = append(out, s...)
		i = end
	}
	return out
}

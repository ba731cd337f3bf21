package main

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

type object = map[string]any

// conversationItems are the items that the model server will get for a system
// prompt and messages, in order. Everything goes this way, also the prompt:
// nothing in it is then looked at by the CLI, and it may be of any length.
func conversationItems(system string, messages []plugins.Message) ([]object, error) {
	var items []object
	if system != "" {
		items = append(items, messageItem("developer", []object{{"type": "input_text", "text": system}}))
	}
	for _, m := range messages {
		more, err := messageItems(m)
		if err != nil {
			return nil, err
		}
		items = append(items, more...)
	}
	return items, nil
}

func messageItem(role string, content []object) object {
	return object{"type": "message", "role": role, "content": content}
}

// messageItems splits one message: calls and their results are items of their own.
func messageItems(m plugins.Message) ([]object, error) {
	role, textType := "user", "input_text"
	if m.Role == plugins.RoleAssistant {
		role, textType = "assistant", "output_text"
	}
	var items, content []object
	flush := func() {
		if len(content) > 0 {
			items = append(items, messageItem(role, content))
			content = nil
		}
	}
	for _, part := range m.Parts {
		switch p := part.(type) {
		case plugins.Text:
			content = append(content, object{"type": textType, "text": string(p)})
		case plugins.Blob:
			image, err := imageContent(p)
			if err != nil {
				return nil, err
			}
			content = append(content, image)
		case plugins.ToolCall:
			flush()
			items = append(items, object{"type": "function_call", "call_id": p.ID, "name": upstreamName(p.Name), "arguments": p.Arguments})
		case plugins.ToolResult:
			flush()
			output, err := resultContent(p)
			if err != nil {
				return nil, err
			}
			items = append(items, object{"type": "function_call_output", "call_id": p.CallID, "output": output})
		case plugins.Reasoning:
			if item, ok := itemOfReasoning(p); ok && role == "assistant" {
				flush()
				items = append(items, item)
			}
		}
	}
	if len(items) == 0 && len(content) == 0 && role == "user" {
		content = []object{{"type": textType, "text": ""}}
	}
	flush()
	return items, nil
}

// imageTypes are those that the CLI reads. Of a GIF it makes a PNG; the others it passes
// on unchanged.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

func imageContent(b plugins.Blob) (object, error) {
	media, _, _ := strings.Cut(strings.ToLower(b.MediaType), ";")
	if !slices.Contains(imageTypes, media) {
		return nil, plugins.Errorf(plugins.CodeInvalidRequest, "codex reads images of %s, not %q", strings.Join(imageTypes, ", "), b.MediaType)
	}
	return object{
		"type":      "input_image",
		"image_url": "data:" + media + ";base64," + base64.StdEncoding.EncodeToString(b.Data),
	}, nil
}

// resultContent is a string where it can be, which every model server takes.
func resultContent(r plugins.ToolResult) (any, error) {
	var text strings.Builder
	var content []object
	images := false
	for _, part := range r.Parts {
		switch p := part.(type) {
		case plugins.Text:
			text.WriteString(string(p))
			content = append(content, object{"type": "input_text", "text": string(p)})
		case plugins.Blob:
			image, err := imageContent(p)
			if err != nil {
				return nil, err
			}
			images = true
			content = append(content, image)
		}
	}
	if images {
		return content, nil
	}
	return text.String(), nil
}

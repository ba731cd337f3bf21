package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// content makes the content blocks of a message that was made fit, see told.
func content(m plugins.Message, composed bool) ([]any, *plugins.Error) {
	var out []any
	parts, media := apart(m.Parts)
	for _, part := range slices.Concat(parts, media) {
		block, err := blockOf(part)
		if err != nil {
			return nil, err
		}
		out = append(out, block)
	}
	if m.Role == plugins.RoleUser && !composed {
		out = guarded(m, out)
	}
	return out, nil
}

// apart takes media out of the results of tools that failed: the API takes only text
// in those, and the CLI would drop the rest. They come behind everything else, as
// nothing may stand between results.
func apart(parts []plugins.Part) (rest, media []plugins.Part) {
	for _, part := range parts {
		r, ok := part.(plugins.ToolResult)
		if !ok || !r.IsError {
			rest = append(rest, part)
			continue
		}
		var inner []plugins.Part
		for _, p := range r.Parts {
			if _, ok := p.(plugins.Blob); ok {
				media = append(media, p)
			} else {
				inner = append(inner, p)
			}
		}
		r.Parts = inner
		rest = append(rest, r)
	}
	return rest, media
}

// blockOf makes one content block.
func blockOf(part plugins.Part) (any, *plugins.Error) {
	switch v := part.(type) {
	case plugins.Text:
		return wire.TextBlock(string(v)), nil
	case plugins.Blob:
		return mediaBlock(v)
	case plugins.Reasoning:
		if v.Redacted {
			return wire.RedactedThinkingBlock(string(v.Signature)), nil
		}
		return wire.ThinkingBlock(v.Text, string(v.Signature)), nil
	case plugins.ToolCall:
		return wire.ToolUseBlock(v.ID, v.Name, json.RawMessage(v.Arguments)), nil
	case plugins.ToolResult:
		var inner []any
		for _, p := range v.Parts {
			block, err := blockOf(p)
			if err != nil {
				return nil, err
			}
			inner = append(inner, block)
		}
		return wire.ToolResultBlock(v.CallID, inner, v.IsError), nil
	}
	return nil, plugins.Errorf(plugins.CodeUnsupported, "Claude Code cannot read such content")
}

func mediaBlock(b plugins.Blob) (any, *plugins.Error) {
	switch b.MediaType {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		return wire.MediaBlock("image", b.MediaType, b.Data), nil
	case "application/pdf":
		return wire.MediaBlock("document", b.MediaType, b.Data), nil
	}
	return nil, plugins.Errorf(plugins.CodeUnsupported, "Claude Code cannot read media of type %q; it reads PNG, JPEG, GIF, WebP and PDF", b.MediaType)
}

// guarded keeps an older CLI from taking the text for a command of its own: it
// does so when the last text block begins with a slash. Cut in two the text is
// still the same byte for byte, and no block is a command.
func guarded(m plugins.Message, blocks []any) []any {
	if len(m.Parts) == 0 || len(blocks) == 0 {
		return blocks
	}
	last := ""
	for _, part := range m.Parts {
		if t, ok := part.(plugins.Text); ok && strings.TrimSpace(string(t)) != "" {
			last = string(t)
		}
	}
	rest := strings.TrimLeft(last, "/")
	if rest == last || strings.TrimSpace(rest) == "" {
		return blocks // no slash in front, or nothing but slashes, which is no command
	}
	var out []any
	cut := false
	for i := len(blocks) - 1; i >= 0; i-- {
		if b, ok := blocks[i].(map[string]any); !cut && ok && b["type"] == "text" {
			cut = true
			out = append([]any{wire.TextBlock(last[:len(last)-len(rest)]), wire.TextBlock(rest)}, out...)
			continue
		}
		out = append([]any{blocks[i]}, out...)
	}
	return out
}

// check finds what the CLI could not pass on, before it is started.
func check(turn *plugins.Turn) error {
	if len(turn.Messages) == 0 {
		return plugins.Errorf(plugins.CodeInvalidRequest, "there is no message to answer")
	}
	if last := turn.Messages[len(turn.Messages)-1]; last.Role != plugins.RoleUser {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the last message must be the user's: Claude Code cannot continue a message of the assistant")
	}
	if turn.Mode == plugins.ModeAgent && len(turn.OutputSchema) > 0 && !turn.AnyObject() {
		// The provider would hold every answer of the agent to it, and its helpers'.
		return plugins.Errorf(plugins.CodeUnsupported, "Claude Code keeps to an output schema in chat mode only")
	}
	for i, m := range turn.Messages {
		if _, err := content(m, true); err != nil {
			e := *err
			e.Message = fmt.Sprintf("message %d: %s", i+1, e.Message)
			return &e
		}
	}
	if messages := told(turn.Messages, ""); len(messages) == 0 || messages[len(messages)-1].Role != plugins.RoleUser {
		// The API would refuse it; the CLI puts words of its own in its place.
		return plugins.Errorf(plugins.CodeInvalidRequest, "message %d is empty: it needs text that is more than white space, or media", len(turn.Messages))
	}
	return nil
}

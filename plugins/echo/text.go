package main

import (
	"strings"
	"unicode/utf8"

	"github.com/clinvk/clinvk/plugins"
)

// bytesPerToken is this backend's own idea of a token: four bytes, the usual rule
// of thumb for English text.
const bytesPerToken = 4

func tokens(bytes int) int64 { return int64((bytes + bytesPerToken - 1) / bytesPerToken) }

// inputTokens counts what the turn sends.
func inputTokens(turn *plugins.Turn) int64 {
	n := tokens(len(turn.System))
	for _, m := range turn.Messages {
		n += messageTokens(m.Parts)
	}
	for _, t := range turn.Tools {
		n += tokens(len(t.Name) + len(t.Description) + len(t.InputSchema))
	}
	return n
}

func messageTokens(parts []plugins.Part) (n int64) {
	for _, p := range parts {
		switch v := p.(type) {
		case plugins.Text:
			n += tokens(len(v))
		case plugins.Blob:
			n += tokens(len(v.Data))
		case plugins.ToolCall:
			n += tokens(len(v.Name) + len(v.Arguments))
		case plugins.ToolResult:
			n += messageTokens(v.Parts)
		case plugins.Reasoning:
			if _, ok := signed(v); ok {
				n += tokens(len(v.Text))
			}
		}
	}
	return n
}

// maxPieces bounds the number of deltas of one answer, so that a prompt of some
// megabytes is not a million events.
const maxPieces = 512

// split cuts text after each space, in at most about maxPieces pieces.
func split(text string) []string {
	atLeast := len(text) / maxPieces
	var out []string
	for len(text) > 0 {
		n := len(text)
		if i := strings.IndexByte(text[min(atLeast, len(text)):], ' '); i >= 0 {
			n = min(atLeast, len(text)) + i + 1
		}
		if limit := max(4*atLeast, 4<<10); n > limit {
			for n = limit; n > 0 && !utf8.RuneStart(text[n]); n-- {
			}
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return out
}

package session

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// historyOf is what a backend is sent of earlier turns. Reasoning is its own backend's
// only: no other one can read the signatures. Files that it does not take become a line
// that says so. A turn without an answer is left out: providers refuse two questions
// in a row, and an empty answer.
func historyOf(turns []store.SessionTurn, backend string, info engine.BackendInfo) ([]engine.Message, error) {
	media := info.Describe.GetCapabilities().GetInputMediaTypes()
	var out []engine.Message
	for _, t := range turns {
		user, err := decode[Message](t.User)
		if err != nil {
			return nil, err
		}
		said, err := decode[Part](t.Assistant)
		if err != nil {
			return nil, err
		}
		answer := engineParts(said)
		if t.Backend != backend {
			answer = withoutReasoning(answer)
		}
		if len(answer) == 0 {
			continue
		}
		messages := engineMessages(user)
		for _, m := range messages {
			if info.Describe != nil { // otherwise nobody knows yet what it takes
				omitFiles(m.Parts, media)
			}
		}
		out = append(out, messages...)
		out = append(out, engine.Message{Role: engine.RoleAssistant, Parts: answer})
	}
	return out, nil
}

func withoutReasoning(parts []engine.Part) []engine.Part {
	return slices.DeleteFunc(parts, func(p engine.Part) bool {
		_, ok := p.(engine.Reasoning)
		return ok
	})
}

// omitFiles replaces the files that a backend does not take.
func omitFiles(parts []engine.Part, media []string) {
	for i, p := range parts {
		switch v := p.(type) {
		case engine.Blob:
			if !slices.Contains(media, v.MediaType) {
				parts[i] = engine.Text(fmt.Sprintf("[a file was here: %s, %d bytes]", v.MediaType, len(v.Data)))
			}
		case engine.ToolResult:
			omitFiles(v.Parts, media)
		}
	}
}

// afterAnswer is what a client that sends its whole history says anew.
func afterAnswer(messages []engine.Message) ([]engine.Message, error) {
	last := -1
	for i, m := range messages {
		if m.Role == engine.RoleAssistant {
			last = i
		}
	}
	if last == len(messages)-1 {
		return nil, invalid("messages", "the last message is the model's; a session is continued with one of the user")
	}
	return messages[last+1:], nil
}

// maxTitle is what a line of a list has room for, in characters.
const maxTitle = 80

// titleOf makes a title of the first line that the user wrote.
func titleOf(messages []engine.Message) string {
	for _, m := range messages {
		for _, p := range m.Parts {
			text, ok := p.(engine.Text)
			if !ok {
				continue
			}
			line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
			line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r <= ' ' || r == utf8.RuneError || r == 0x7f }), " ")
			if line == "" {
				continue
			}
			if utf8.RuneCountInString(line) > maxTitle {
				line = string([]rune(line)[:maxTitle-1]) + "…"
			}
			return line
		}
	}
	return ""
}

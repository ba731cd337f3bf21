package schema

import (
	"encoding/json"
	"strings"
)

// maxTries is how many places in an answer are tried as the beginning of its JSON.
const maxTries = 16

// Bare is the JSON of an answer without what models put around it: white space,
// one fence, or prose around exactly one object or array. An answer in which that is
// not clear stays as it is.
func Bare(text string) string {
	text = strings.TrimSpace(text)
	if json.Valid([]byte(text)) {
		return text
	}
	if inner, ok := unfence(text); ok && json.Valid([]byte(inner)) {
		return inner
	}
	found := ""
	for at, tries := 0, 0; ; tries++ {
		next := strings.IndexAny(text[at:], "{[")
		if next < 0 {
			break
		}
		at += next
		if tries == maxTries {
			return text
		}
		d := json.NewDecoder(strings.NewReader(text[at:]))
		var value json.RawMessage
		if d.Decode(&value) != nil {
			at++
			continue
		}
		if found != "" {
			return text
		}
		end := at + int(d.InputOffset())
		found, at = text[at:end], end
	}
	if found == "" {
		return text
	}
	return found
}

// unfence takes the fence around a whole text off.
func unfence(text string) (inner string, ok bool) {
	const fence = "```"
	text, ok = strings.CutPrefix(text, fence)
	if !ok {
		return "", false
	}
	text, ok = strings.CutSuffix(text, fence)
	if !ok {
		return "", false
	}
	_, inner, ok = strings.Cut(text, "\n") // the first line names the language
	return strings.TrimSpace(inner), ok
}

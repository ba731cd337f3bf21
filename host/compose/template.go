package compose

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/near"
)

// placeholder is {{previous}} or {{steps.NAME.output}}; a backslash before it makes it
// plain text.
var placeholder = regexp.MustCompile(`\\?\{\{\s*([A-Za-z_][^{}\s]*)\s*\}\}`)

// previous is the placeholder of the step before.
const previous = "previous"

// Template is a prompt with placeholders for the outputs of earlier steps.
type Template struct{ text string }

// ParseTemplate checks the placeholders of a step's prompt; earlier names the steps
// before it, in order, and may hold empty names.
func ParseTemplate(text string, earlier []string) (Template, error) {
	known := []string{}
	if len(earlier) > 0 {
		known = append(known, previous)
	}
	for _, name := range earlier {
		if name != "" {
			known = append(known, outputOf(name))
		}
	}
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if strings.HasPrefix(m[0], `\`) || contains(known, m[1]) {
			continue
		}
		if m[1] == previous {
			return Template{}, fmt.Errorf("{{%s}}: there is no step before the first one", previous)
		}
		return Template{}, fmt.Errorf(`{{%s}} is no placeholder here%s; there are: %s (plain text: \{{%[1]s}})`, m[1], near.DidYouMean(m[1], known), list(known))
	}
	return Template{text}, nil
}

func outputOf(step string) string { return "steps." + step + ".output" }

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// maxPrompt bounds a prompt that outputs were put in, in bytes: that of a request's body.
const maxPrompt = 32 << 20

// Fill puts outputs in their places. What an output says is not looked at again. The
// error says that the prompt would be too long.
func (t Template) Fill(last string, outputs map[string]string) (string, error) {
	size, tooLong := len(t.text), false
	filled := placeholder.ReplaceAllStringFunc(t.text, func(m string) string {
		if plain, ok := strings.CutPrefix(m, `\`); ok {
			return plain
		}
		output := last
		if name := placeholder.FindStringSubmatch(m)[1]; name != previous {
			output = outputs[strings.TrimSuffix(strings.TrimPrefix(name, "steps."), ".output")]
		}
		if size += len(output); size > maxPrompt {
			tooLong = true
			return ""
		}
		return output
	})
	if tooLong {
		return "", engine.Errorf(engine.CodeTooLarge, "with the outputs in their places the prompt is longer than %d MiB", maxPrompt>>20)
	}
	return filled, nil
}

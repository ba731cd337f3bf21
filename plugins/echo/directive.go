package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// directive is one wish in a user's text, as in [[tool get_weather {"city":"Oslo"}]].
type directive struct {
	verb string
	// name of the tool, or the finish reason.
	name string
	// rest is the text, the arguments, or the stop sequence; may be empty.
	rest string
}

// Verbs of directives.
const (
	verbThink  = "think"
	verbHidden = "redacted"
	verbSay    = "say"
	verbTool   = "tool"
	verbFinish = "finish"
	verbHeld   = "held"
)

// finishes are the words for the ends of an answer.
var finishes = map[string]plugins.FinishReason{
	"stop":           plugins.FinishStop,
	"length":         plugins.FinishLength,
	"stop_sequence":  plugins.FinishStopSequence,
	"content_filter": plugins.FinishContentFilter,
}

// directives finds those in a text, and returns what is around them. What looks
// like one and is none stays in the text.
func directives(text string) (found []directive, around string) {
	var rest strings.Builder
	for {
		before, after, ok := strings.Cut(text, "[[")
		rest.WriteString(before)
		if !ok {
			return found, strings.TrimSpace(rest.String())
		}
		d, n := parseDirective(after)
		if n == 0 {
			rest.WriteString("[[")
			text = after
			continue
		}
		found = append(found, d)
		text = after[n:]
	}
}

// parseDirective reads one after its brackets; n is its length, 0: it is none.
func parseDirective(s string) (d directive, n int) {
	end := strings.Index(s, "]]")
	if end < 0 {
		return d, 0
	}
	d.verb, d.rest, _ = strings.Cut(s[:end], " ")
	switch d.verb {
	case verbThink, verbHidden, verbSay:
		if d.rest == "" {
			return d, 0
		}
	case verbFinish:
		d.name, d.rest, _ = strings.Cut(d.rest, " ")
		if _, ok := finishes[d.name]; !ok {
			return d, 0
		}
	case verbTool:
		return parseTool(s, end)
	case verbHeld:
		if d.rest != "" {
			return d, 0
		}
	default:
		return d, 0
	}
	return d, end + len("]]")
}

// parseTool reads a call, whose arguments may hold brackets of their own.
func parseTool(s string, end int) (d directive, n int) {
	words := strings.Fields(s[:end])
	if len(words) < 2 {
		return d, 0
	}
	d = directive{verb: verbTool, name: words[1]}
	if len(words) == 2 {
		return d, end + len("]]")
	}
	at := strings.Index(s, d.name) + len(d.name)
	decoder := json.NewDecoder(strings.NewReader(s[at:]))
	var object map[string]json.RawMessage
	if decoder.Decode(&object) != nil {
		return d, 0
	}
	over := at + int(decoder.InputOffset())
	tail := strings.TrimLeft(s[over:], " \n")
	if !strings.HasPrefix(tail, "]]") {
		return d, 0
	}
	d.rest = strings.TrimSpace(s[at:over])
	return d, len(s) - len(tail) + len("]]")
}

// wishes are the directives of the last text of a user that has any. When results of
// tools came after it they were obeyed, and results are those to answer with: agents
// put reminders of their own behind them.
func wishes(messages []plugins.Message) (found []directive, around string, results []plugins.ToolResult) {
	for _, m := range slices.Backward(messages) {
		if m.Role != plugins.RoleUser {
			continue
		}
		for _, p := range slices.Backward(m.Parts) {
			switch v := p.(type) {
			case plugins.ToolResult:
				if results == nil {
					results = resultsOf(m)
				}
			case plugins.Text:
				if found, around = directives(string(v)); len(found) > 0 {
					return found, around, results
				}
			}
		}
	}
	return nil, "", nil
}

// obey carries out directives in their order. When they ask for no text and no call
// of a tool that is there, the answer is the text around them.
func (a *answer) obey(wishes []directive, around string) error {
	said := false
	for _, d := range wishes {
		var err error
		switch d.verb {
		case verbThink:
			err = a.think(d.rest)
		case verbHidden:
			err = a.out.RedactedReasoning([]byte(signature(d.rest)))
		case verbSay:
			said, err = true, a.sayAll(d.rest, nil)
		case verbHeld:
			said, err = true, a.say(a.heldText())
		case verbFinish:
			a.reason, a.stopSequence = finishes[d.name], d.rest
		case verbTool:
			i := slices.IndexFunc(a.turn.Tools, func(t plugins.Tool) bool { return t.Name == d.name })
			if i < 0 || a.turn.ToolChoice.Kind == plugins.ToolChoiceNone {
				continue // such as when an agent asks for a title, without its tools
			}
			said, err = true, a.callWith(a.turn.Tools[i], d.rest)
		}
		if err != nil {
			return err
		}
	}
	if said {
		return nil
	}
	return a.sayAll(around, nil)
}

// heldText says where the conversation was known from.
func (a *answer) heldText() string {
	if a.held == 0 {
		return fmt.Sprintf("nothing held, sent %d", len(a.messages))
	}
	return fmt.Sprintf("%s held %d, sent %d", a.holder, a.held, len(a.messages)-a.held)
}

// callWith calls a tool; without arguments with a sample of its schema.
func (a *answer) callWith(tool plugins.Tool, arguments string) (err error) {
	if arguments == "" {
		if arguments, err = argumentsFor(tool, ""); err != nil {
			return err
		}
	}
	a.reason = plugins.FinishToolCalls
	return a.call(plugins.ToolCall{ID: a.nextID(), Name: tool.Name, Arguments: arguments, Origin: plugins.OriginClient})
}

// nextID names a call; it is the same for the same conversation.
func (a *answer) nextID() string { return fmt.Sprintf("call_%d_%d", len(a.messages), len(a.calls)+1) }

// think emits a block of reasoning with its signature.
func (a *answer) think(text string) error {
	for _, piece := range split(text) {
		if err := a.out.Reasoning(piece); err != nil {
			return err
		}
	}
	return a.out.ReasoningSignature([]byte(signature(text)))
}

// signaturePrefix tells our signatures from those of other backends.
const signaturePrefix = "echo:"

// signature stands for a provider's: text that only its maker could make.
func signature(text string) string {
	sum := sha256.Sum256([]byte("echo\n" + text))
	return signaturePrefix + base64.StdEncoding.EncodeToString(sum[:])
}

// signed is the signature of reasoning that came from here; ok is false for other
// reasoning, which is left out as every provider would do it.
func signed(r plugins.Reasoning) (text string, ok bool) {
	return strings.CutPrefix(string(r.Signature), signaturePrefix)
}

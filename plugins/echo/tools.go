package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// callTools obeys the directives in the user's text, see directive.go; without any
// it obeys tools and tool_choice. Without a result in the last message it
// calls the tools that the user's text names (each once, in the order of the
// request), else the first one; the arguments are the JSON object in the text
// when there is one, else a sample of the tool's schema. With results it answers
// with their text.
func callTools(a *answer) error {
	found, around, results := wishes(a.messages)
	switch {
	case len(results) > 0:
		return a.report(results)
	case len(found) > 0:
		return a.obey(found, around)
	}
	if results := resultsOf(a.messages[len(a.messages)-1]); len(results) > 0 {
		return a.report(results)
	}
	text := lastUserText(a.messages)
	chosen := choose(a.turn, text)
	if len(chosen) == 0 {
		return a.sayAll(text, nil)
	}
	for _, tool := range chosen {
		arguments, err := argumentsFor(tool, text)
		if err != nil {
			return err
		}
		call := plugins.ToolCall{ID: a.nextID(), Name: tool.Name, Arguments: arguments, Origin: plugins.OriginClient}
		if err := a.call(call); err != nil {
			return err
		}
	}
	a.reason = plugins.FinishToolCalls
	return nil
}

// report answers with what the tools yielded.
func (a *answer) report(results []plugins.ToolResult) error {
	for i, r := range results {
		state := "result"
		if r.IsError {
			state = "error"
		}
		sep := ""
		if i > 0 {
			sep = "\n"
		}
		if err := a.say(fmt.Sprintf("%s%s of %s: %s", sep, state, r.CallID, textOf(r.Parts))); err != nil {
			return err
		}
	}
	return nil
}

// call emits a call with its arguments in two pieces.
func (a *answer) call(c plugins.ToolCall) error {
	if err := a.out.ToolCallStarted(c.ID, c.Name, c.Origin); err != nil {
		return err
	}
	half := len(c.Arguments) / 2
	for half > 0 && c.Arguments[half] >= 0x80 {
		half--
	}
	for _, piece := range []string{c.Arguments[:half], c.Arguments[half:]} {
		if piece == "" {
			continue
		}
		if err := a.out.ToolCallDelta(c.ID, piece); err != nil {
			return err
		}
	}
	a.calls = append(a.calls, c)
	return a.out.ToolCall(c)
}

func resultsOf(m plugins.Message) (out []plugins.ToolResult) {
	for _, p := range m.Parts {
		if r, ok := p.(plugins.ToolResult); ok {
			out = append(out, r)
		}
	}
	return out
}

func choose(turn *plugins.Turn, text string) []plugins.Tool {
	switch turn.ToolChoice.Kind {
	case plugins.ToolChoiceNone:
		return nil
	case plugins.ToolChoiceName:
		for _, t := range turn.Tools {
			if t.Name == turn.ToolChoice.Name {
				return []plugins.Tool{t}
			}
		}
		return nil
	case plugins.ToolChoiceAuto, plugins.ToolChoiceRequired:
	}
	var out []plugins.Tool
	for _, t := range turn.Tools {
		if strings.Contains(text, t.Name) {
			out = append(out, t)
		}
	}
	if len(out) == 0 && len(turn.Tools) > 0 {
		out = turn.Tools[:1]
	}
	return out
}

func argumentsFor(tool plugins.Tool, text string) (string, error) {
	if i := strings.IndexByte(text, '{'); i >= 0 {
		var object json.RawMessage
		if json.NewDecoder(strings.NewReader(text[i:])).Decode(&object) == nil {
			return string(object), nil
		}
	}
	v, err := sample(tool.InputSchema)
	if err != nil {
		return "", plugins.Errorf(plugins.CodeInvalidRequest, "schema of tool %s: %w", tool.Name, err)
	}
	b, err := json.Marshal(v)
	return string(b), err
}

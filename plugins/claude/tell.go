package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// efforts are the CLI's levels; those of noEffort ask for no reasoning.
var (
	efforts  = []string{"low", "medium", "high", "xhigh", "max"}
	noEffort = []string{"none", "minimal"}
)

// tell gives the CLI everything but the message to answer.
func (a *answer) tell(ctx context.Context) error {
	if !a.live {
		if err := a.introduce(); err != nil {
			return err
		}
	}
	for _, m := range a.messages[:len(a.messages)-1] {
		if err := a.history(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// introduce sends the system prompt and the settings. Their responses are taken
// in with the rest of the output.
func (a *answer) introduce() error {
	first := wire.Initialize{Title: title}
	if a.turn.Mode == plugins.ModeAgent {
		first.Append = a.turn.System
	} else {
		first.System = []string{a.turn.System} // the empty one keeps the CLI's own out
	}
	if a.p.system == nil { // else it was told already
		if _, err := a.p.control(first); err != nil {
			return err
		}
	}
	s, err := settingsOf(a.turn, a.signer)
	if err != nil {
		return err
	}
	if s != nil {
		if _, err := a.p.control(wire.ApplySettings(*s)); err != nil {
			return err
		}
	}
	if n := a.turn.Sampling.ReasoningTokens; n != nil && *n > 0 {
		_, err = a.p.control(wire.ThinkingTokens(*n))
	}
	return err
}

// history adds an earlier message to the conversation.
func (a *answer) history(ctx context.Context, m plugins.Message) error {
	blocks, invalid := content(m, a.p.composed)
	if invalid != nil {
		return invalid
	}
	if err := a.p.send(historic(m.Role, blocks, a.signer)); err != nil || m.Role == plugins.RoleAssistant {
		return err
	}
	// What follows may only be written when this was taken in.
	for {
		line, err := a.p.next(ctx)
		if err != nil {
			return err
		}
		switch {
		case line.Response != nil:
			if err := refused(line.Response); err != nil {
				return err
			}
		case line.Result != nil && line.Result.IsError:
			return a.failed(ctx, line.Result)
		case line.Result != nil:
			return nil
		}
	}
}

// historic is a message that is not to be answered.
func historic(role plugins.Role, blocks []any, model string) json.Marshaler {
	if role == plugins.RoleAssistant {
		return wire.Assistant{ID: "msg_clinvk_" + rand.Text(), Model: model, Content: blocks}
	}
	return wire.User{ID: uuid(), Content: blocks, History: true, Composed: true}
}

// ask sends the message to answer.
func (a *answer) ask() error {
	blocks, invalid := content(a.messages[len(a.messages)-1], a.p.composed)
	if invalid != nil {
		return invalid
	}
	return a.p.send(wire.User{ID: uuid(), Content: blocks, Composed: true})
}

// settingsOf are the settings that differ from those that a process starts with;
// nil: none. Model is the API's name of the turn's.
func settingsOf(turn *plugins.Turn, model string) (*wire.Settings, error) {
	s := wire.Settings{Env: map[string]string{}}
	if effort := turn.Sampling.ReasoningEffort; slices.Contains(efforts, effort) {
		s.Effort = effort
	} else if effort != "" && !slices.Contains(noEffort, effort) {
		return nil, plugins.Errorf(plugins.CodeInvalidRequest, "reasoning effort %q is not one of %s", effort, strings.Join(slices.Concat(noEffort, efforts), ", "))
	}
	switch reasoning, asked := reasons(turn.Sampling); {
	case reasoning:
		s.Env[envThinking] = "0"
	case asked:
		s.Env[envThinking] = "1"
	}
	if turn.Mode == plugins.ModeChat {
		s.Model = turn.Model
		if n := turn.Sampling.MaxOutputTokens; n != nil {
			s.Env[envMaxTokens] = strconv.FormatInt(*n, 10)
		}
		if err := extraBody(turn, model, s.Env); err != nil {
			return nil, err
		}
	}
	if s.Model == "" && s.Effort == "" && len(s.Env) == 0 {
		return nil, nil
	}
	return &s, nil
}

// reasons says whether the model is to reason, and whether the turn says so or
// leaves it to the CLI. A bound in tokens counts for more than an effort.
func reasons(s plugins.Sampling) (reasoning, asked bool) {
	if n := s.ReasoningTokens; n != nil {
		return *n > 0, true
	}
	return slices.Contains(efforts, s.ReasoningEffort), s.ReasoningEffort != ""
}

// extraBody puts what the CLI has no flags for into the body of its request.
func extraBody(turn *plugins.Turn, model string, env map[string]string) error {
	body := sampling(turn.Sampling, model)
	if len(turn.Tools) > 0 {
		body["tools"], body["tool_choice"] = toolsOf(turn.Tools), toolChoice(turn.ToolChoice)
	}
	if len(turn.OutputSchema) > 0 {
		body["output_config"] = outputConfig(turn.OutputSchema)
	}
	if len(body) == 0 {
		return nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the sampling settings: %w", err)
	}
	env[envExtraBody] = string(text)
	return nil
}

// outputConfig has the provider keep the answer to the schema. The CLI lays it over
// its own member of that name and keeps the effort that is in there.
func outputConfig(schema json.RawMessage) any {
	return map[string]any{"format": map[string]any{"type": "json_schema", "schema": schema}}
}

// toolsOf are the client's tools as the API wants them. They go into the body, not
// into the CLI: it has no tools in a chat, so it runs none, and the turn ends when
// the model calls one.
func toolsOf(tools []plugins.Tool) []any {
	out := make([]any, 0, len(tools))
	for _, t := range tools {
		schema := t.InputSchema
		if len(schema) == 0 {
			schema = json.RawMessage(`{"type":"object"}`)
		}
		tool := map[string]any{"name": t.Name, "input_schema": schema}
		if t.Description != "" {
			tool["description"] = t.Description
		}
		out = append(out, tool)
	}
	return out
}

func toolChoice(c plugins.ToolChoice) any {
	switch c.Kind {
	case plugins.ToolChoiceAuto:
	case plugins.ToolChoiceRequired:
		return map[string]any{"type": "any"}
	case plugins.ToolChoiceNone:
		return map[string]any{"type": "none"}
	case plugins.ToolChoiceName:
		return map[string]any{"type": "tool", "name": c.Name}
	}
	return map[string]any{"type": "auto"}
}

// uuid returns a random UUID; the CLI drops a message whose id it has seen.
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

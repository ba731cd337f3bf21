package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
)

// model is one way to answer.
type model struct {
	id, title string
	answer    func(*answer) error
}

// models are all ways; the first is the default.
var models = []model{
	{"echo", "Echo: the text of the last user message", func(a *answer) error { return a.sayAll(lastUserText(a.messages), nil) }},
	{"transcript", "Transcript: system prompt and history as text", func(a *answer) error { return a.sayAll(transcript(a.turn.System, a.messages), nil) }},
	{"slow", "Slow echo: word by word over about two seconds", slow},
	{"fail", "Fails at once, with the code named in the prompt", fail},
	{"fail-midstream", "Fails after half of the answer", failMidstream},
	{"tool", "Calls the client's tools, or does as [[directives]] in the prompt say", callTools},
	{"crash", "The plugin process dies in mid-answer", crash},
}

func find(id string) (model, error) {
	if id == "" {
		return models[0], nil
	}
	for _, m := range models {
		if m.id == id {
			return m, nil
		}
	}
	return model{}, plugins.Errorf(plugins.CodeNotFound, "echo has no model %q", id)
}

// slowTime is how long the slow model takes for the whole answer.
const slowTime = 2 * time.Second

func slow(a *answer) error {
	return a.sayAll(lastUserText(a.messages), func(pieces int) time.Duration {
		return slowTime / time.Duration(max(1, pieces-1))
	})
}

// failures are the codes that the fail model can be asked for.
var failures = map[string]plugins.Code{
	"invalid_request":      plugins.CodeInvalidRequest,
	"unauthenticated":      plugins.CodeUnauthenticated,
	"permission_denied":    plugins.CodePermissionDenied,
	"not_found":            plugins.CodeNotFound,
	"too_large":            plugins.CodeTooLarge,
	"rate_limited":         plugins.CodeRateLimited,
	"quota_exhausted":      plugins.CodeQuotaExhausted,
	"overloaded":           plugins.CodeOverloaded,
	"timeout":              plugins.CodeTimeout,
	"content_policy":       plugins.CodeContentPolicy,
	"cli_failure":          plugins.CodeCLIFailure,
	"upstream_unreachable": plugins.CodeUpstreamUnreachable,
	"unsupported":          plugins.CodeUnsupported,
	"internal":             plugins.CodeInternal,
	"upstream_failure":     plugins.CodeUpstreamFailure,
}

// failRetryAfter is what the fail model says about codes that go away.
const failRetryAfter = 7 * time.Second

func fail(a *answer) error { return failure(lastUserText(a.messages)) }

func failure(text string) error {
	name := "upstream_failure"
	for _, word := range strings.Fields(text) {
		if _, ok := failures[word]; ok {
			name = word
			break
		}
	}
	e := plugins.Errorf(failures[name], "echo failed as it was asked to: %s", name)
	if e.Code == plugins.CodeRateLimited || e.Code == plugins.CodeOverloaded {
		e.Retryable, e.RetryAfter = true, failRetryAfter
	}
	return e
}

func failMidstream(a *answer) error {
	text := lastUserText(a.messages)
	pieces := split(text)
	if err := a.sayAll(strings.Join(pieces[:(len(pieces)+1)/2], ""), nil); err != nil {
		return err
	}
	return failure(text)
}

// crashStatus is the exit status of the crash model; crashDelay lets the first
// words get out, so that the client sees the crash in mid-answer.
const (
	crashStatus = 70
	crashDelay  = 20 * time.Millisecond
)

func crash(a *answer) error {
	if err := a.say("this plugin crashes now "); err != nil {
		return err
	}
	if _, err := a.pause(crashDelay); err != nil {
		return err
	}
	a.exit(crashStatus)
	return nil
}

// lastUserText is the text of the last message that a user wrote.
func lastUserText(messages []plugins.Message) string {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].Role == plugins.RoleUser {
			return textOf(messages[i].Parts)
		}
	}
	return ""
}

func textOf(parts []plugins.Part) string {
	var b strings.Builder
	for _, p := range parts {
		switch v := p.(type) {
		case plugins.Text:
			b.WriteString(string(v))
		case plugins.Blob:
			fmt.Fprintf(&b, "[%s, %d bytes]", v.MediaType, len(v.Data))
		case plugins.ToolResult:
			b.WriteString(textOf(v.Parts))
		}
	}
	return b.String()
}

// transcript is everything that would be sent to a model, one line per part.
func transcript(system string, messages []plugins.Message) string {
	var b strings.Builder
	if system != "" {
		fmt.Fprintf(&b, "system: %s\n", system)
	}
	for _, m := range messages {
		who := "user"
		if m.Role == plugins.RoleAssistant {
			who = "assistant"
		}
		for _, p := range m.Parts {
			switch v := p.(type) {
			case plugins.Text:
				fmt.Fprintf(&b, "%s: %s\n", who, string(v))
			case plugins.Blob:
				fmt.Fprintf(&b, "%s: [%s, %d bytes]\n", who, v.MediaType, len(v.Data))
			case plugins.ToolCall:
				fmt.Fprintf(&b, "%s calls %s %s %s\n", who, v.ID, v.Name, v.Arguments)
			case plugins.ToolResult:
				kind := "result"
				if v.IsError {
					kind = "error"
				}
				fmt.Fprintf(&b, "%s of %s: %s\n", kind, v.CallID, textOf(v.Parts))
			case plugins.Reasoning:
				if signature, ok := signed(v); ok {
					fmt.Fprintf(&b, "%s thinks: %s [%s]\n", who, v.Text, signature)
				}
			}
		}
	}
	return b.String()
}

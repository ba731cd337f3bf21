package main

import (
	"regexp"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// sampling are the members of the API's request for s, without those that the API
// refuses: a temperature above 1, which OpenAI's clients may ask for, a temperature
// and top_p together, either beside reasoning, and stop sequences of white space. The
// host looks for all stop sequences; those that the API knows too end the answer sooner.
func sampling(s plugins.Sampling, model string) map[string]any {
	body := map[string]any{}
	if reasoning, _ := reasons(s); !reasoning {
		if s.Temperature != nil {
			body["temperature"] = min(*s.Temperature, 1)
		} else if s.TopP != nil && !heated(model) {
			body["top_p"] = *s.TopP
		}
		if s.TopK != nil {
			body["top_k"] = *s.TopK
		}
	}
	stop := slices.DeleteFunc(slices.Clone(s.Stop), func(s string) bool { return strings.TrimSpace(s) == "" })
	if len(stop) > 0 {
		body["stop_sequences"] = stop
	}
	return body
}

// older matches the models up to Claude 4.6.
var older = regexp.MustCompile(`^claude-(\d|instant|(opus|sonnet|haiku)-4(-[0-6])?(-\d{8})?$)`)

// heated says that the CLI itself sends a temperature of 1 to a model, beside which
// there is no room for top_p.
func heated(model string) bool { return older.MatchString(model) }

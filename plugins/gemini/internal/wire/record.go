package wire

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/clinvk/clinvk/plugins"
)

// Response is one answer of the model, as the CLI has recorded it.
type Response struct {
	// Finish is the API's reason, for example "STOP"; empty when there was none.
	Finish string
	// Blocked says that the answer has no candidate: the prompt was refused.
	Blocked bool
	Calls   []FunctionCall
	// Usage is what the API reported last.
	Usage plugins.Usage
}

// recorded is a line of the record.
type recorded struct {
	Method   string          `json:"method"`
	Response json.RawMessage `json:"response"`
}

type chunk struct {
	Candidates []struct {
		Content struct {
			Parts []Part `json:"parts"`
		} `json:"content"`
		FinishReason string `json:"finishReason"`
	} `json:"candidates"`
	Usage *struct {
		Prompt     *int64 `json:"promptTokenCount"`
		ToolPrompt *int64 `json:"toolUsePromptTokenCount"`
		Candidates *int64 `json:"candidatesTokenCount"`
		Cached     *int64 `json:"cachedContentTokenCount"`
		Thoughts   *int64 `json:"thoughtsTokenCount"`
	} `json:"usageMetadata"`
}

// Record reads what the CLI recorded: one line per model call that came to its
// end. Lines about other calls are skipped.
func Record(b []byte) ([]Response, error) {
	var out []Response
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		var r recorded
		if err := json.Unmarshal(line, &r); err != nil {
			return out, fmt.Errorf("reading the CLI's record: %w", err)
		}
		if r.Method != "generateContentStream" {
			continue
		}
		var chunks []chunk
		if err := json.Unmarshal(r.Response, &chunks); err != nil {
			return out, fmt.Errorf("reading the CLI's record: %w", err)
		}
		out = append(out, response(chunks))
	}
	return out, nil
}

func response(chunks []chunk) Response {
	r := Response{Blocked: true}
	for _, c := range chunks {
		for i, candidate := range c.Candidates {
			r.Blocked = false
			if i > 0 {
				break // only the first is shown
			}
			if candidate.FinishReason != "" {
				r.Finish = candidate.FinishReason
			}
			for _, p := range candidate.Content.Parts {
				if p.FunctionCall != nil {
					r.Calls = append(r.Calls, *p.FunctionCall)
				}
			}
		}
		if u := c.Usage; u != nil {
			r.Usage = plugins.Usage{
				InputTokens: sum(u.Prompt, u.ToolPrompt), OutputTokens: sum(u.Candidates, u.Thoughts),
				CacheReadTokens: u.Cached, ReasoningTokens: u.Thoughts,
			}
		}
	}
	return r
}

// sum adds what is known; nil when nothing is.
func sum(a, b *int64) *int64 {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	n := *a + *b
	return &n
}

// Total adds up the usage of several responses.
func Total(responses []Response) plugins.Usage {
	var u plugins.Usage
	for _, r := range responses {
		u.InputTokens = sum(u.InputTokens, r.Usage.InputTokens)
		u.OutputTokens = sum(u.OutputTokens, r.Usage.OutputTokens)
		u.CacheReadTokens = sum(u.CacheReadTokens, r.Usage.CacheReadTokens)
		u.ReasoningTokens = sum(u.ReasoningTokens, r.Usage.ReasoningTokens)
	}
	return u
}

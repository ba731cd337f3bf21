package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// Response is one answer of the model, as the CLI has recorded it.
type Response struct {
	// Finish is the API's reason, for example "STOP"; empty when there was none.
	Finish string
	// Blocked says that the answer has no candidate: the prompt was refused.
	Blocked bool
	Calls   []FunctionCall
	// Parts are its parts as they came, piece by piece.
	Parts []Part
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
			r.Parts = append(r.Parts, candidate.Content.Parts...)
			for _, p := range candidate.Content.Parts {
				if p.FunctionCall != nil {
					call := *p.FunctionCall
					call.Signature = p.ThoughtSignature
					r.Calls = append(r.Calls, call)
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

// Output is what a tool of the agent gave the model.
type Output struct {
	Text  string
	Error bool
}

// Outputs reads the results of the agent's tools, by the call's id, from the
// session file that the CLI goes on writing. Lines of other kinds are skipped.
func Outputs(session []byte) map[string]Output {
	out := map[string]Output{}
	for line := range bytes.Lines(session) {
		if !bytes.Contains(line, []byte(`"toolCalls"`)) {
			continue
		}
		var r struct {
			ToolCalls []struct {
				ID     string `json:"id"`
				Status string `json:"status"`
				Result []Part `json:"result"`
			} `json:"toolCalls"`
		}
		if json.Unmarshal(line, &r) != nil {
			continue // a line that is being written
		}
		for _, c := range r.ToolCalls {
			out[c.ID] = Output{Text: outputText(c.Result), Error: c.Status == "error"}
		}
	}
	return out
}

// The CLI marks what comes from outside for the model.
const (
	untrustedBegin = "<untrusted_context>\n"
	untrustedEnd   = "\n</untrusted_context>"
)

func outputText(parts []Part) string {
	var out string
	for _, p := range parts {
		if p.FunctionResponse == nil {
			continue
		}
		var r struct{ Output, Error string }
		if json.Unmarshal(p.FunctionResponse.Response, &r) != nil {
			r.Output = string(p.FunctionResponse.Response)
		}
		text := r.Output + r.Error
		if inner, ok := strings.CutPrefix(text, untrustedBegin); ok {
			text = strings.TrimSuffix(inner, untrustedEnd)
		}
		out += text
	}
	return out
}

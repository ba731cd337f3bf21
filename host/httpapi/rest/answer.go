package rest

import (
	"strconv"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// answer is what POST /prompt answers.
type answer struct {
	ExecutionID  string `json:"execution_id"`
	SessionID    string `json:"session_id"`
	Backend      string `json:"backend"`
	Model        string `json:"model"`
	ExitCode     int    `json:"exit_code"`
	DurationMS   int64  `json:"duration_ms"`
	Output       string `json:"output"`
	FinishReason string `json:"finish_reason"`
	TokenUsage   usage  `json:"token_usage"`
	// Notices and Timing are there when verbose was asked for.
	Notices []string `json:"notices,omitzero"`
	Timing  *timing  `json:"timing,omitempty"`
}

// timing says how long the steps of a turn took, in milliseconds.
type timing struct {
	QueueMS   float64  `json:"queue_ms"`
	BackendMS float64  `json:"backend_ms"`
	TTFTMS    *float64 `json:"ttft_ms"` // null: there was no first part
	TotalMS   float64  `json:"total_ms"`
}

func timingOf(t engine.Timing) *timing {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := &timing{QueueMS: ms(t.Queue), BackendMS: ms(t.Backend), TotalMS: ms(t.Total)}
	if t.FirstToken > 0 {
		first := ms(t.FirstToken)
		out.TTFTMS = &first
	}
	return out
}

// usage counts tokens; null means unknown.
type usage struct {
	InputTokens     *int64 `json:"input_tokens"`
	OutputTokens    *int64 `json:"output_tokens"`
	CachedTokens    *int64 `json:"cached_tokens"`
	ReasoningTokens *int64 `json:"reasoning_tokens"`
	// CacheWriteTokens and Estimated say more than the predecessor did.
	CacheWriteTokens *int64 `json:"cache_write_tokens,omitempty"`
	Estimated        bool   `json:"estimated,omitempty"`
}

func answerOf(x *engine.Execution, a *engine.Answer, verbose bool) answer {
	out := answer{
		ExecutionID: x.ID, SessionID: x.Session, Backend: x.Backend, Model: shown(x, a.Model),
		DurationMS: x.Timing().Total.Milliseconds(), Output: a.Text(),
		FinishReason: a.Reason.String(), TokenUsage: usageOf(a.Usage),
	}
	if verbose {
		out.Notices, out.Timing = append([]string{}, a.Notices...), timingOf(x.Timing())
	}
	return out
}

// shown is the model that answered: the backend's own word for it when it said one.
func shown(x *engine.Execution, model string) string {
	if model != "" {
		return model
	}
	return x.Model
}

func usageOf(u engine.Usage) usage {
	return usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CachedTokens: u.CacheReadTokens,
		ReasoningTokens: u.ReasoningTokens, CacheWriteTokens: u.CacheWriteTokens, Estimated: u.Estimated,
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

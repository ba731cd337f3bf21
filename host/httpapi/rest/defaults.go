package rest

import (
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// Defaults are what prompts get that do not say themselves (unified_flags of the
// configuration).
type Defaults struct {
	// OutputFormat of POST /prompt; empty: json.
	OutputFormat string
	// MaxTurns of an agent; 0: any number.
	MaxTurns int
	// MaxTokens of an answer; 0: what the backend says.
	MaxTokens int64
	// Timeout of a turn; 0: the engine's.
	Timeout time.Duration
	// DryRun lets nothing run: it is shown what would.
	DryRun bool
}

func (d Defaults) fill(t *engine.Turn) {
	if t.MaxSteps == 0 {
		t.MaxSteps = d.MaxTurns
	}
	if t.Sampling.MaxOutputTokens == nil && d.MaxTokens > 0 {
		t.Sampling.MaxOutputTokens = new(d.MaxTokens)
	}
	if t.Timeout == 0 {
		t.Timeout = d.Timeout
	}
}

package rest

import (
	"net/http"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
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
	// DryRun lets nothing run.
	DryRun bool
}

func (d Defaults) fill(t *engine.Turn) error {
	if d.DryRun {
		return httpapi.Errorf(http.StatusNotImplemented, "unified_flags.dry_run is on, so nothing is run; this server cannot show what would be")
	}
	if t.MaxSteps == 0 {
		t.MaxSteps = d.MaxTurns
	}
	if t.Sampling.MaxOutputTokens == nil && d.MaxTokens > 0 {
		t.Sampling.MaxOutputTokens = new(d.MaxTokens)
	}
	if t.Timeout == 0 {
		t.Timeout = d.Timeout
	}
	return nil
}

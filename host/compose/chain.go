package compose

import (
	"context"

	"github.com/clinvk/clinvk/host/engine"
)

// Step of a chain.
type Step struct {
	// Name that later steps refer to; may be empty.
	Name string
	// Prompt of the step.
	Prompt Template
	// Turn makes the step's turn of its prompt.
	Turn func(prompt string) *engine.Turn
}

// ChainOptions say how steps run.
type ChainOptions struct {
	// GoOn tries the steps after one that failed; they get what there was of its output.
	GoOn bool
	// Observe is told what happens; may be nil.
	Observe Observer
}

// Chain runs steps one after another. Outcomes are in their order; those of steps that
// were not tried say so: those after one that failed, or that are cancelled by then.
func Chain(ctx context.Context, e Engine, steps []Step, o ChainOptions) []Outcome {
	observe := serial(o.Observe)
	out := make([]Outcome, len(steps))
	outputs := map[string]string{}
	last, stopped := "", ""
	for i, s := range steps {
		if stopped == "" && ctx.Err() != nil {
			stopped = notTried(ctx)
		}
		if stopped != "" {
			out[i] = skip(i, stopped, observe)
			continue
		}
		if prompt, err := s.Prompt.Fill(last, outputs); err != nil {
			out[i] = refused(i, err, observe)
		} else if t := s.Turn(prompt); cancelled(t) {
			stopped = notTried(ctx)
			out[i] = skip(i, stopped, observe)
			continue
		} else {
			out[i] = run(ctx, e, i, t, observe)
		}
		if out[i].Err != nil && !o.GoOn {
			stopped = "not tried because an earlier step failed"
		}
		last = out[i].Text
		if s.Name != "" {
			outputs[s.Name] = last
		}
	}
	return out
}

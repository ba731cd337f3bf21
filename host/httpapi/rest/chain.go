package rest

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/compose"
	"github.com/clinvk/clinvk/host/engine"
)

// chainRequest is the body of POST /chain.
type chainRequest struct {
	Steps          []step `json:"steps"`
	StopOnFailure  *bool  `json:"stop_on_failure"`
	PassWorkingDir bool   `json:"pass_working_dir"`
	OutputFormat   string `json:"output_format"`
	DryRun         bool   `json:"dry_run"`
}

type step struct {
	prompt
	Name string `json:"name"`
}

// chainAnswer is what POST /chain answers.
type chainAnswer struct {
	TotalSteps      int      `json:"total_steps"`
	CompletedSteps  int      `json:"completed_steps"`
	FailedStep      int      `json:"failed_step"` // the first one, from 1; 0: none
	TotalDurationMS int64    `json:"total_duration_ms"`
	Results         []result `json:"results"`
}

func (d *Dialect) chain(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q := &chainRequest{}
	if err := read(r, q); err != nil {
		return err
	}
	if err := checkCount(len(q.Steps), "steps"); err != nil {
		return err
	}
	if err := checkFormat(q.OutputFormat); err != nil {
		return err
	}
	steps, turns, err := d.steps(r, q)
	if err != nil {
		return err
	}
	if q.DryRun || d.config.Defaults.DryRun {
		return d.dryRun(w, r, turns, func(p *planned, i int) { p.Step, p.Name = i+1, q.Steps[i].Name })
	}
	place := func(e *event, index int) { e.Step, e.Backend = index+1, cmp.Or(e.Backend, turns[index].Backend) }
	begin := time.Now()
	return d.composite(w, r, q.OutputFormat, turns, place, func(ctx context.Context, observe compose.Observer) any {
		goOn := q.StopOnFailure != nil && !*q.StopOnFailure
		outcomes := compose.Chain(ctx, d.engine, steps, compose.ChainOptions{GoOn: goOn, Observe: observe})
		a := chainAnswer{
			TotalSteps: len(steps), CompletedSteps: succeeded(outcomes),
			TotalDurationMS: time.Since(begin).Milliseconds(), Results: []result{},
		}
		for i, outcome := range outcomes {
			if outcome.Err != nil && a.FailedStep == 0 {
				a.FailedStep = i + 1
			}
			if outcome.Skipped {
				continue
			}
			res := resultOf(outcome, turns[i])
			res.Step, res.Name = i+1, q.Steps[i].Name
			a.Results = append(a.Results, res)
		}
		return a
	})
}

// steps checks all steps before any of them runs.
func (d *Dialect) steps(r *http.Request, q *chainRequest) ([]compose.Step, []*engine.Turn, error) {
	var names []string
	var steps []compose.Step
	var turns []*engine.Turn
	files := d.config.Media.Files()
	for i := range q.Steps {
		s, where := &q.Steps[i], "steps/"+itoa(i)
		if q.PassWorkingDir && i > 0 {
			s.Workdir = cmp.Or(s.Workdir, q.Steps[i-1].Workdir)
		}
		t, err := d.turn(r, files, &s.prompt, where)
		if err != nil {
			return nil, nil, err
		}
		template, err := compose.ParseTemplate(*s.Prompt, names)
		if err != nil {
			return nil, nil, bad(where+"/prompt", "%s: %w", where, err)
		}
		for _, name := range names {
			if s.Name != "" && name == s.Name {
				return nil, nil, bad(where+"/name", "%s: %q is the name of an earlier step", where, name)
			}
		}
		names, turns = append(names, s.Name), append(turns, t)
		steps = append(steps, compose.Step{Name: s.Name, Prompt: template, Turn: withPrompt(t)})
	}
	return steps, turns, nil
}

// withPrompt makes a turn like t with another text; it comes last in the message.
func withPrompt(t *engine.Turn) func(string) *engine.Turn {
	return func(prompt string) *engine.Turn {
		c := *t
		parts := t.Messages[0].Parts
		parts = append(parts[:len(parts)-1:len(parts)-1], engine.Text(prompt))
		c.Messages = []engine.Message{{Role: engine.RoleUser, Parts: parts}}
		return &c
	}
}

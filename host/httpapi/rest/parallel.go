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

// parallelRequest is the body of POST /parallel.
type parallelRequest struct {
	Tasks        []task `json:"tasks"`
	MaxParallel  *int   `json:"max_parallel"`
	FailFast     *bool  `json:"fail_fast"`
	OutputFormat string `json:"output_format"`
	DryRun       bool   `json:"dry_run"`
}

// task is a prompt with what the client knows it by.
type task struct {
	prompt
	ID   string         `json:"id"`
	Name string         `json:"name"`
	Meta map[string]any `json:"meta"`
}

// parallelAnswer is what POST /parallel answers.
type parallelAnswer struct {
	TotalTasks      int      `json:"total_tasks"`
	Completed       int      `json:"completed"`
	Failed          int      `json:"failed"`
	TotalDurationMS int64    `json:"total_duration_ms"`
	Results         []result `json:"results"`
}

// defaultParallel is how many tasks run at a time when nobody says.
const defaultParallel = 3

func (d *Dialect) parallel(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q := &parallelRequest{}
	if err := read(r, q); err != nil {
		return err
	}
	if err := checkCount(len(q.Tasks), "tasks"); err != nil {
		return err
	}
	if err := checkFormat(q.OutputFormat); err != nil {
		return err
	}
	o := compose.ParallelOptions{Max: cmp.Or(d.config.MaxParallel, defaultParallel), FailFast: d.config.FailFast}
	if q.MaxParallel != nil {
		if o.Max = *q.MaxParallel; o.Max < 1 || o.Max > maxParallel {
			return bad("max_parallel", "max_parallel is %d; it must be between 1 and %d", o.Max, maxParallel)
		}
	}
	if q.FailFast != nil {
		o.FailFast = *q.FailFast
	}
	files, turns := d.config.Media.Files(), make([]*engine.Turn, len(q.Tasks))
	for i := range q.Tasks {
		t, err := d.turn(r, files, &q.Tasks[i].prompt, "tasks/"+itoa(i))
		if err != nil {
			return err
		}
		turns[i] = t
	}
	if q.DryRun || d.config.Defaults.DryRun {
		return d.dryRun(w, r, turns, func(p *planned, i int) {
			p.Index, p.TaskID, p.TaskName = &i, q.Tasks[i].ID, q.Tasks[i].Name
		})
	}
	begin := time.Now()
	return d.composite(w, r, q.OutputFormat, turns, placeIndex(turns), func(ctx context.Context, observe compose.Observer) any {
		o.Observe = observe
		outcomes := compose.Parallel(ctx, d.engine, turns, o)
		a := parallelAnswer{TotalTasks: len(turns), Completed: succeeded(outcomes), TotalDurationMS: time.Since(begin).Milliseconds()}
		a.Failed = a.TotalTasks - a.Completed
		for i, outcome := range outcomes {
			res := resultOf(outcome, turns[i])
			res.Index, res.TaskID, res.TaskName = &i, q.Tasks[i].ID, q.Tasks[i].Name
			a.Results = append(a.Results, res)
		}
		return a
	})
}

// placeIndex numbers events from 0 and names the backend where no execution did.
func placeIndex(turns []*engine.Turn) func(*event, int) {
	return func(e *event, index int) {
		e.Index, e.Backend = &index, cmp.Or(e.Backend, turns[index].Backend)
	}
}

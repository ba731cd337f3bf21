package rest

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/compose"
	"github.com/clinvk/clinvk/host/engine"
)

// compareRequest is the body of POST /compare.
type compareRequest struct {
	prompt
	Backends   []string          `json:"backends"`
	Models     map[string]string `json:"models"`
	Sequential bool              `json:"sequential"`
}

// compareAnswer is what POST /compare answers.
type compareAnswer struct {
	Prompt          string   `json:"prompt"`
	Backends        []string `json:"backends"`
	TotalDurationMS int64    `json:"total_duration_ms"`
	Results         []result `json:"results"`
}

func (d *Dialect) compare(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	q := &compareRequest{}
	if err := read(r, q); err != nil {
		return err
	}
	if q.Backend != "" {
		return bad("backend", "backend is for one; name those to compare in backends")
	}
	if err := q.alone(); err != nil {
		return err
	}
	if err := checkFormat(q.OutputFormat); err != nil {
		return err
	}
	backends, err := d.compared(q)
	if err != nil {
		return err
	}
	format := q.OutputFormat
	q.OutputFormat = ""
	files, turns := d.config.Media.Files(), make([]*engine.Turn, len(backends))
	for i, b := range backends {
		p := q.prompt
		if p.Backend = b; q.Models[b] != "" {
			p.Model = q.Models[b]
		}
		t, err := p.turn()
		if err != nil {
			return err
		}
		if err := d.complete(r, files, t); err != nil {
			return err
		}
		turns[i] = t
	}
	if q.DryRun || d.config.Defaults.DryRun {
		return d.dryRun(w, r, turns, func(p *planned, i int) { p.Index = &i })
	}
	o := compose.ParallelOptions{}
	if q.Sequential {
		o.Max = 1
	}
	begin := time.Now()
	return d.composite(w, r, format, turns, placeIndex(turns), func(ctx context.Context, observe compose.Observer) any {
		o.Observe = observe
		a := compareAnswer{Prompt: *q.Prompt, Backends: backends}
		for i, outcome := range compose.Parallel(ctx, d.engine, turns, o) {
			res := resultOf(outcome, turns[i])
			res.Index = &i
			a.Results = append(a.Results, res)
		}
		a.TotalDurationMS = time.Since(begin).Milliseconds()
		return a
	})
}

// compared are the backends that are asked: those that are named, or all that could
// answer.
func (d *Dialect) compared(q *compareRequest) ([]string, error) {
	backends := q.Backends
	if len(backends) == 0 {
		for _, info := range d.engine.Backends() {
			if info.Available() {
				backends = append(backends, info.Name)
			}
		}
		if len(backends) == 0 {
			return nil, engine.Errorf(engine.CodeUnavailable, "no backend is available; GET /api/v1/backends says why")
		}
	}
	if err := checkCount(len(backends), "backends"); err != nil {
		return nil, err
	}
	for i, b := range backends {
		if b == "" || slices.Contains(backends[:i], b) {
			return nil, bad("backends/"+itoa(i), "backends/%d is %q; each backend must be named once", i, b)
		}
	}
	for name := range q.Models {
		if !slices.Contains(backends, name) {
			return nil, bad("models/"+name, "models names %q, which is not among the backends", name)
		}
	}
	return backends, nil
}

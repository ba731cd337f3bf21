package engine

import "github.com/clinvk/clinvk/host/engine/schema"

// plan is a turn that may be run, and how.
type plan struct {
	turn    *Turn
	to      target
	info    BackendInfo
	ignored []string
	output  *schema.Schema // nil: free text
}

// plan makes all checks of a turn that need nothing to run.
func (e *Engine) plan(t *Turn) (plan, error) {
	to, err := e.route(t)
	if err != nil {
		return plan{}, err
	}
	p := plan{turn: e.prepare(t, to), to: to}
	if p.turn.WorkingDir != "" {
		if p.turn.WorkingDir, err = e.config.Load().WorkingDirs.check(p.turn.WorkingDir); err != nil {
			return plan{}, err
		}
	}
	p.info, _ = e.backends.Info(to.backend)
	if p.ignored, err = check(to.backend, p.turn, p.info); err != nil {
		return plan{}, err
	}
	if p.turn.OutputSchema != nil {
		if p.output, err = compileSchema(p.turn.OutputSchema); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

package engine

// plan is a turn that may be run, and how.
type plan struct {
	turn    *Turn
	to      target
	info    BackendInfo
	ignored []string
	output  *schema // nil: free text
}

// plan makes all checks of a turn that need nothing to run.
func (e *Engine) plan(t *Turn) (plan, error) {
	to, err := e.route(t)
	if err != nil {
		return plan{}, err
	}
	p := plan{turn: e.prepare(t, to), to: to}
	switch s := p.turn.Session; {
	case p.turn.WorkingDir != "":
		if p.turn.WorkingDir, err = e.config.Load().WorkingDirs.check(p.turn.WorkingDir); err != nil {
			return plan{}, err
		}
	case s != nil && p.turn.Mode == ModeAgent:
		p.turn.WorkingDir = s.WorkingDir // the server's own, whatever clients may name
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

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
	switch s := p.turn.Session; {
	case p.turn.WorkingDir != "":
		if p.turn.WorkingDir, err = e.config.Load().WorkingDirs.check(p.turn.WorkingDir); err != nil {
			return plan{}, err
		}
		if t.Choices > 1 {
			e := Errorf(CodeInvalidRequest, "n must be 1 for an agent in the working directory %s: several would change the same files at the same time; "+
				"leave the directory out to give each choice a private one, or send one request after the other", p.turn.WorkingDir)
			e.Param = FieldChoices
			return plan{}, e
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

// Check fails where Execute would before it waits for anything, and lists the parameters
// that the backend does not honour (Field…). A turn in a session is not looked at: what
// becomes of it is its session's to say.
func (e *Engine) Check(t *Turn) (ignored []string, err error) {
	if e.draining.Load() {
		return nil, shuttingDown()
	}
	if t.Keep != nil {
		return nil, nil
	}
	p, err := e.plan(t)
	return p.ignored, err
}

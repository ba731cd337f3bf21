package engine

import (
	"encoding/json"

	"github.com/clinvk/clinvk/host/engine/clip"
	"github.com/clinvk/clinvk/host/engine/schema"
)

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

// prepare copies the turn and settles what the alias and the engine decide.
func (e *Engine) prepare(t *Turn, to target) *Turn {
	c, config := *t, e.config.Load()
	if c.Timeout <= 0 || c.Timeout > config.Timeout { // the operator's word bounds the client's
		c.Timeout = config.Timeout
	}
	if a := to.alias; a != nil {
		if a.Mode != ModeUnspecified {
			c.Mode = a.Mode
		}
		if a.WorkingDir != "" {
			c.WorkingDir = a.WorkingDir
		}
		if a.Approval != ApprovalUnspecified {
			c.Approval = a.Approval
		}
		if a.Sandbox != SandboxUnspecified {
			c.Sandbox = a.Sandbox
		}
	}
	c.Mode = c.WantedMode()
	if c.Mode == ModeChat {
		c.WorkingDir, c.Approval, c.Sandbox = "", ApprovalUnspecified, SandboxUnspecified
	} else {
		config.Agents(to.backend).fill(&c)
	}
	return &c
}

// compileSchema reads the schema that a client sent.
func compileSchema(source json.RawMessage) (*schema.Schema, error) {
	s, err := schema.Compile(source)
	if err != nil {
		e := Errorf(CodeInvalidRequest, "the JSON schema is not valid: %s", clip.Text(err.Error()))
		e.Param, e.Err = "response_format", err
		return nil, e
	}
	return s, nil
}

package engine

import "slices"

// AgentDefaults are what turns in agent mode get that do not say themselves. Turns in
// chat mode get none of it: they are what the client sent.
type AgentDefaults struct {
	Approval ApprovalMode
	Sandbox  SandboxMode
	// System prompt; empty: none.
	System string
	// ExtraArguments for the CLI, before those of the turn.
	ExtraArguments []string
}

// fill adds the defaults to a turn. "default" said by the client is a word of its own,
// and stays.
func (d AgentDefaults) fill(t *Turn) {
	if t.Approval == ApprovalUnspecified {
		t.Approval = d.Approval
	}
	if t.Sandbox == SandboxUnspecified {
		t.Sandbox = d.Sandbox
	}
	if t.System == "" {
		t.System = d.System
	}
	if len(d.ExtraArguments) > 0 {
		t.ExtraArguments = slices.Concat(d.ExtraArguments, t.ExtraArguments)
	}
}

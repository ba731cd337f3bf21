package plugins

import (
	"math"

	"google.golang.org/protobuf/types/known/durationpb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// describe makes the DescribeResponse; the capabilities follow from the
// interfaces that b implements.
func describe(b Backend, version string) *backendv1.DescribeResponse {
	d := b.Describe()
	p := &backendv1.DescribeResponse{
		Name: d.Name, Version: version, ContractRevision: contractRevision,
		Title: d.Title, Description: d.Summary, Homepage: d.Homepage, License: d.License,
		Capabilities: capabilities(b),
		Limits: &backendv1.Limits{
			MaxConcurrentExecutions: count(d.Limits.MaxConcurrent),
			MaxPromptBytes:          uint64(max(0, d.Limits.MaxPromptBytes)),
			MaxBlobBytes:            uint64(max(0, d.Limits.MaxBlobBytes)),
		},
		ConfigSchema: d.ConfigSchema,
		Environment:  d.Environment,
	}
	for _, r := range d.Requirements {
		p.Requirements = append(p.Requirements, &backendv1.Requirement{Command: r.Command, MinVersion: r.MinVersion, InstallHint: r.InstallHint})
	}
	return p
}

func count(n int) uint32 { return uint32(max(0, min(n, math.MaxInt32))) }

func capabilities(b Backend) *backendv1.Capabilities {
	c := &backendv1.Capabilities{}
	if v, ok := b.(ChatMode); ok {
		c.Chat = &backendv1.ChatCapability{Sampling: v.ChatSupport().Sampling}
	}
	if v, ok := b.(AgentMode); ok {
		s := v.AgentSupport()
		c.Agent = &backendv1.AgentCapability{Sampling: s.Sampling}
		for _, a := range s.Approvals {
			c.Agent.ApprovalModes = append(c.Agent.ApprovalModes, backendv1.ApprovalMode(a))
		}
		for _, m := range s.Sandboxes {
			c.Agent.SandboxModes = append(c.Agent.SandboxModes, backendv1.SandboxMode(m))
		}
	}
	if v, ok := b.(SessionKeeper); ok {
		s := v.SessionSupport()
		_, list := b.(SessionLister)
		c.Sessions = &backendv1.SessionCapability{Fork: s.Fork, BoundToWorkingDir: s.BoundToWorkingDir, List: list, AgentOnly: s.AgentOnly}
	}
	if v, ok := b.(LiveKeeper); ok {
		c.Live = &backendv1.LiveCapability{IdleTimeout: durationpb.New(v.LiveSupport().IdleTimeout)}
	}
	if v, ok := b.(ToolCaller); ok {
		s := v.ToolSupport()
		c.ClientTools = &backendv1.ClientToolCapability{ForcedChoice: s.ForcedChoice, ParallelCalls: s.ParallelCalls}
	}
	if v, ok := b.(Approver); ok {
		c.Approvals = &backendv1.ApprovalCapability{Persistent: v.ApprovalSupport().Persistent}
	}
	if v, ok := b.(StructuredOutputter); ok {
		s := v.StructuredOutputSupport()
		c.StructuredOutput = &backendv1.StructuredOutputCapability{
			Strict: s.Strict, ChatOnly: s.ChatOnly, ClosedObjects: s.ClosedObjects, AllRequired: s.AllRequired,
			RefusedKeywords: s.RefusedKeywords,
		}
	}
	if v, ok := b.(Reasoner); ok {
		c.Reasoning = &backendv1.ReasoningCapability{Signatures: v.ReasoningSupport().Signatures}
	}
	if v, ok := b.(MediaReader); ok {
		c.InputMediaTypes = v.InputMediaTypes()
	}
	if _, ok := b.(TokenCounter); ok {
		c.CountTokens = &backendv1.TokenCountCapability{}
	}
	if _, ok := b.(Reliever); ok {
		c.Relief = &backendv1.ReliefCapability{}
	}
	if _, ok := b.(Previewer); ok {
		c.Preview = &backendv1.PreviewCapability{}
	}
	return c
}

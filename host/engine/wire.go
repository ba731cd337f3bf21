package engine

import (
	"google.golang.org/protobuf/types/known/durationpb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// startToProto is the turn as the plugin gets it; model is the backend's own name.
func startToProto(id, model string, t *Turn) *backendv1.Start {
	p := &backendv1.Start{
		ExecutionId:    id,
		Model:          model,
		Mode:           backendv1.Mode(t.Mode),
		System:         t.System,
		Messages:       messagesToProto(t.Messages),
		OutputSchema:   t.OutputSchema,
		WorkingDir:     t.WorkingDir,
		ApprovalMode:   backendv1.ApprovalMode(t.Approval),
		SandboxMode:    backendv1.SandboxMode(t.Sandbox),
		Sampling:       samplingToProto(t.Sampling),
		MaxSteps:       uint32(max(0, min(t.MaxSteps, 1<<20))),
		ExtraArguments: t.ExtraArguments,
	}
	if t.Timeout > 0 {
		p.Timeout = durationpb.New(t.Timeout)
	}
	for _, tool := range t.Tools {
		p.Tools = append(p.Tools, &backendv1.ToolSpec{Name: tool.Name, Description: tool.Description, InputSchema: tool.InputSchema})
	}
	switch t.ToolChoice.Kind {
	case ToolChoiceRequired:
		p.ToolChoice = &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Required{Required: true}}
	case ToolChoiceNone:
		p.ToolChoice = &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_None{None: true}}
	case ToolChoiceName:
		p.ToolChoice = &backendv1.ToolChoice{Choice: &backendv1.ToolChoice_Name{Name: t.ToolChoice.Name}}
	case ToolChoiceAuto:
	}
	return p
}

func messagesToProto(messages []Message) []*backendv1.Message {
	out := make([]*backendv1.Message, 0, len(messages))
	for _, m := range messages {
		out = append(out, &backendv1.Message{Role: backendv1.Role(m.Role), Parts: partsToProto(m.Parts)})
	}
	return out
}

func partsToProto(parts []Part) []*backendv1.Part {
	out := make([]*backendv1.Part, 0, len(parts))
	for _, part := range parts {
		p := &backendv1.Part{}
		switch v := part.(type) {
		case Text:
			p.Content = &backendv1.Part_Text{Text: string(v)}
		case Blob:
			p.Content = &backendv1.Part_Blob{Blob: &backendv1.Blob{
				MediaType: v.MediaType, Name: v.Name, Source: &backendv1.Blob_Data{Data: v.Data},
			}}
		case ToolCall:
			p.Content = &backendv1.Part_ToolCall{ToolCall: &backendv1.ToolCall{
				Id: v.ID, Name: v.Name, ArgumentsJson: v.Arguments, Origin: backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT,
			}}
		case ToolResult:
			p.Content = &backendv1.Part_ToolResult{ToolResult: &backendv1.ToolResult{
				CallId: v.CallID, Name: v.Name, Parts: partsToProto(v.Parts), IsError: v.IsError,
			}}
		case Reasoning:
			p.Content = &backendv1.Part_Reasoning{Reasoning: &backendv1.Reasoning{
				Text: v.Text, Signature: v.Signature, Redacted: v.Redacted,
			}}
		}
		out = append(out, p)
	}
	return out
}

func samplingToProto(s Sampling) *backendv1.Sampling {
	if len(s.set()) == 0 {
		return nil
	}
	return &backendv1.Sampling{
		Temperature: s.Temperature, TopP: s.TopP, TopK: s.TopK, MaxOutputTokens: s.MaxOutputTokens,
		Stop: s.Stop, Seed: s.Seed, PresencePenalty: s.PresencePenalty, FrequencyPenalty: s.FrequencyPenalty,
		ReasoningEffort: s.ReasoningEffort, ReasoningTokens: s.ReasoningTokens,
	}
}

func usageFromProto(p *backendv1.Usage) Usage {
	if p == nil {
		return Usage{}
	}
	return Usage{
		InputTokens: p.InputTokens, OutputTokens: p.OutputTokens,
		CacheReadTokens: p.CacheReadTokens, CacheWriteTokens: p.CacheWriteTokens,
		ReasoningTokens: p.ReasoningTokens, CostMicroUSD: p.CostMicroUsd, Estimated: p.GetEstimated(),
	}
}

func resultPartsFromProto(ps []*backendv1.Part) []Part {
	out := make([]Part, 0, len(ps))
	for _, p := range ps {
		switch c := p.GetContent().(type) {
		case *backendv1.Part_Text:
			out = append(out, Text(c.Text))
		case *backendv1.Part_Blob:
			out = append(out, Blob{MediaType: c.Blob.GetMediaType(), Data: c.Blob.GetData(), Name: c.Blob.GetName()})
		}
	}
	return out
}

package plugins

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// turnFromProto makes the Turn of a Start, with unspecified enums resolved.
func turnFromProto(p *backendv1.Start) *Turn {
	t := &Turn{
		ID:             p.GetExecutionId(),
		Model:          p.GetModel(),
		Mode:           orDefault(Mode(p.GetMode()), ModeAgent, ModeChat),
		System:         p.GetSystem(),
		Tools:          toolsFromProto(p.GetTools()),
		ToolChoice:     toolChoiceFromProto(p.GetToolChoice()),
		OutputSchema:   p.GetOutputSchema(),
		WorkingDir:     p.GetWorkingDir(),
		Approval:       orDefault(ApprovalMode(p.GetApprovalMode()), ApprovalAlways, ApprovalDefault),
		Sandbox:        orDefault(SandboxMode(p.GetSandboxMode()), SandboxFull, SandboxDefault),
		Sampling:       samplingFromProto(p.GetSampling()),
		Timeout:        p.GetTimeout().AsDuration(),
		MaxSteps:       int(p.GetMaxSteps()),
		ExtraArguments: p.GetExtraArguments(),
		Options:        p.GetOptions().AsMap(),
	}
	t.Messages = messagesFromProto(p.GetMessages())
	if s := p.GetSession(); s.GetAction() != backendv1.SessionAction_SESSION_ACTION_UNSPECIFIED {
		t.Session = &Session{Action: SessionAction(s.GetAction()), Token: s.GetToken(), Held: int(s.GetMessagesHeld())}
	}
	if l := p.GetLive(); l != nil {
		t.Live = &Live{Token: l.GetToken(), Held: int(l.GetMessagesHeld())}
	}
	return t
}

// orDefault replaces values outside 1..last, which mean unspecified.
func orDefault[E ~int32](v, last, def E) E {
	if v < 1 || v > last {
		return def
	}
	return v
}

func messagesFromProto(ps []*backendv1.Message) []Message {
	out := make([]Message, 0, len(ps))
	for _, p := range ps {
		role := Role(p.GetRole())
		if role != RoleAssistant {
			role = RoleUser
		}
		out = append(out, Message{Role: role, Parts: partsFromProto(p.GetParts())})
	}
	return out
}

func partsFromProto(ps []*backendv1.Part) []Part {
	out := make([]Part, 0, len(ps))
	for _, p := range ps {
		switch c := p.GetContent().(type) {
		case *backendv1.Part_Text:
			out = append(out, Text(c.Text))
		case *backendv1.Part_Blob:
			out = append(out, Blob{MediaType: c.Blob.GetMediaType(), Data: c.Blob.GetData(), Name: c.Blob.GetName()})
		case *backendv1.Part_ToolCall:
			out = append(out, ToolCall{ID: c.ToolCall.GetId(), Name: c.ToolCall.GetName(), Arguments: c.ToolCall.GetArgumentsJson(), Origin: ToolOrigin(c.ToolCall.GetOrigin())})
		case *backendv1.Part_ToolResult:
			r := c.ToolResult
			out = append(out, ToolResult{CallID: r.GetCallId(), Name: r.GetName(), Parts: partsFromProto(r.GetParts()), IsError: r.GetIsError()})
		case *backendv1.Part_Reasoning:
			r := c.Reasoning
			out = append(out, Reasoning{Text: r.GetText(), Signature: r.GetSignature(), Redacted: r.GetRedacted()})
		}
	}
	return out
}

func toolsFromProto(ps []*backendv1.ToolSpec) []Tool {
	out := make([]Tool, 0, len(ps))
	for _, p := range ps {
		out = append(out, Tool{Name: p.GetName(), Description: p.GetDescription(), InputSchema: p.GetInputSchema()})
	}
	return out
}

func toolChoiceFromProto(p *backendv1.ToolChoice) ToolChoice {
	switch c := p.GetChoice().(type) {
	case *backendv1.ToolChoice_Required:
		return ToolChoice{Kind: ToolChoiceRequired}
	case *backendv1.ToolChoice_None:
		return ToolChoice{Kind: ToolChoiceNone}
	case *backendv1.ToolChoice_Name:
		return ToolChoice{Kind: ToolChoiceName, Name: c.Name}
	}
	return ToolChoice{}
}

func samplingFromProto(p *backendv1.Sampling) Sampling {
	if p == nil {
		return Sampling{}
	}
	return Sampling{
		Temperature:      p.Temperature,
		TopP:             p.TopP,
		TopK:             p.TopK,
		MaxOutputTokens:  p.MaxOutputTokens,
		Stop:             p.GetStop(),
		Seed:             p.Seed,
		PresencePenalty:  p.PresencePenalty,
		FrequencyPenalty: p.FrequencyPenalty,
		ReasoningEffort:  p.GetReasoningEffort(),
		ReasoningTokens:  p.ReasoningTokens,
	}
}

func toolCallToProto(c ToolCall) *backendv1.ToolCall {
	return &backendv1.ToolCall{Id: valid(c.ID), Name: valid(c.Name), ArgumentsJson: valid(c.Arguments), Origin: backendv1.ToolOrigin(c.Origin)}
}

// maxResult bounds the parts of a tool's result, in bytes: an event that is larger
// than a message may be (handshake.MaxFromPlugin) would end the turn.
const maxResult = handshake.MaxFromPlugin - 1<<20

func toolResultToProto(r ToolResult) *backendv1.ToolResult {
	p := &backendv1.ToolResult{CallId: valid(r.CallID), Name: valid(r.Name), IsError: r.IsError}
	room := maxResult
	for _, part := range r.Parts {
		part = fitting(part, room)
		switch v := part.(type) {
		case Text:
			room -= len(v)
			p.Parts = append(p.Parts, &backendv1.Part{Content: &backendv1.Part_Text{Text: valid(string(v))}})
		case Blob:
			room -= len(v.Data)
			p.Parts = append(p.Parts, &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{
				MediaType: valid(v.MediaType), Name: valid(v.Name), Source: &backendv1.Blob_Data{Data: v.Data},
			}}})
		}
	}
	return p
}

// fitting is a part of a tool's result, or what says that there is no room for it.
func fitting(part Part, room int) Part {
	switch v := part.(type) {
	case Text:
		if len(v) > room {
			return Text(fmt.Sprintf("(text of %d bytes left out: it is too large)", len(v)))
		}
	case Blob:
		if len(v.Data) > room {
			return Text(fmt.Sprintf("(%s of %d bytes left out: it is too large)", v.MediaType, len(v.Data)))
		}
	}
	return part
}

func usageToProto(u Usage) *backendv1.Usage {
	return &backendv1.Usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens,
		CacheReadTokens: u.CacheReadTokens, CacheWriteTokens: u.CacheWriteTokens,
		ReasoningTokens: u.ReasoningTokens, CostMicroUsd: u.CostMicroUSD, Estimated: u.Estimated,
	}
}

// maxStderrTail bounds Failed.stderr_tail, in bytes.
const maxStderrTail = 8 << 10

func failedToProto(e *Error, usage *backendv1.Usage) *backendv1.Failed {
	p := &backendv1.Failed{
		Code:         backendv1.ErrorCode(e.Code),
		Message:      valid(e.Message),
		Retryable:    e.Retryable,
		Usage:        usage,
		SessionToken: e.SessionToken,
	}
	if p.Code == backendv1.ErrorCode_ERROR_CODE_UNSPECIFIED {
		p.Code = backendv1.ErrorCode_ERROR_CODE_INTERNAL
	}
	if e.RetryAfter > 0 {
		p.RetryAfter = durationpb.New(e.RetryAfter)
	}
	if e.ExitCode != nil {
		code := int32(max(math.MinInt32, min(*e.ExitCode, math.MaxInt32)))
		p.ExitCode = &code
	}
	tail := e.StderrTail
	if len(tail) > maxStderrTail {
		tail = tail[len(tail)-maxStderrTail:]
	}
	p.StderrTail = valid(tail)
	if s := e.UpstreamStatus; s >= 100 && s <= 599 {
		status := uint32(s)
		p.UpstreamStatus = &status
	}
	return p
}

func modelToProto(m Model) *backendv1.Model {
	p := &backendv1.Model{Id: valid(m.ID), Title: valid(m.Title), Aliases: m.Aliases, IsDefault: m.Default}
	if m.ContextWindow > 0 {
		p.ContextWindow = &m.ContextWindow
	}
	if m.MaxOutputTokens > 0 {
		p.MaxOutputTokens = &m.MaxOutputTokens
	}
	p.CreateTime = timeToProto(m.Created)
	return p
}

func timeToProto(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

package engine

import (
	"slices"
	"strings"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// refusal makes the error of a turn that a backend cannot run.
type refusal func(code Code, param, format string, args ...any) error

func refusalOf(backend string) refusal {
	return func(code Code, param, format string, args ...any) error {
		e := Errorf(code, "backend %s "+format, append([]any{backend}, args...)...)
		e.Param, e.Backend = param, backend
		return e
	}
}

// check refuses what the backend cannot do and lists what it will not honour.
// Before the plugin was ready once nothing is known and nothing refused.
func check(backend string, t *Turn, info BackendInfo) (ignored []string, err error) {
	if err := t.complete(); err != nil {
		return nil, err
	}
	caps, refuse := info.Describe.GetCapabilities(), refusalOf(backend)
	if caps == nil {
		return nil, nil
	}
	if err := checkMode(t, caps, refuse); err != nil {
		return nil, err
	}
	for _, s := range t.Sampling.Stop {
		if len(s) > maxStop {
			return nil, refuse(CodeInvalidRequest, FieldStop, "takes stop sequences of up to %d bytes, this one has %d", maxStop, len(s))
		}
	}
	for _, name := range t.Sampling.set() {
		// The host sees to the limits of the answer where the backend does not.
		kept := name == FieldStop || name == FieldMaxOutputTokens
		if !kept && !slices.Contains(honoured(caps, t.Mode), name) {
			ignored = append(ignored, name)
		}
	}
	if len(t.Tools) > 0 && caps.GetClientTools() == nil {
		if t.ToolChoice.Forced() {
			return nil, refuse(CodeUnsupported, "tool_choice", "cannot be made to call a tool of the client; use tool_choice \"auto\" or \"none\"")
		}
		t.Tools, t.ToolChoice = nil, ToolChoice{}
		ignored = append(ignored, FieldTools)
	}
	if t.ToolChoice.Forced() && !caps.GetClientTools().GetForcedChoice() {
		return nil, refuse(CodeUnsupported, "tool_choice", "cannot be made to call a tool; use tool_choice \"auto\" or \"none\"")
	}
	if err := checkSize(t, info, refuse); err != nil {
		return nil, err
	}
	if t.StrictParams && len(ignored) > 0 {
		return nil, refuse(CodeInvalidRequest, ignored[0], "does not honour %s, and server.strict_params is on", strings.Join(ignored, ", "))
	}
	return ignored, nil
}

// checkMode refuses modes that the backend does not have.
func checkMode(t *Turn, caps *backendv1.Capabilities, refuse refusal) error {
	if t.Mode != ModeAgent {
		if caps.GetChat() == nil {
			return refuse(CodeUnsupported, "mode", "has no chat mode")
		}
		return nil
	}
	agent := caps.GetAgent()
	switch {
	case agent == nil:
		return refuse(CodeUnsupported, "mode", "has no agent mode")
	case t.Approval > ApprovalDefault && !slices.Contains(agent.GetApprovalModes(), backendv1.ApprovalMode(t.Approval)):
		return refuse(CodeUnsupported, "approval_mode", "does not support this approval mode")
	case t.Sandbox > SandboxDefault && !slices.Contains(agent.GetSandboxModes(), backendv1.SandboxMode(t.Sandbox)):
		return refuse(CodeUnsupported, "sandbox_mode", "does not support this sandbox mode")
	}
	return nil
}

// checkSize refuses files and prompts that the backend does not take.
func checkSize(t *Turn, info BackendInfo, refuse refusal) error {
	limits, media := info.Describe.GetLimits(), info.Describe.GetCapabilities().GetInputMediaTypes()
	size := uint64(len(t.System))
	var walk func(parts []Part) error
	walk = func(parts []Part) error {
		for _, p := range parts {
			switch v := p.(type) {
			case Text:
				size += uint64(len(v))
			case ToolResult:
				if err := walk(v.Parts); err != nil {
					return err
				}
			case Blob:
				if !slices.Contains(media, v.MediaType) {
					if len(media) == 0 {
						return refuse(CodeUnsupported, "messages", "takes text only, not %s", v.MediaType)
					}
					return refuse(CodeUnsupported, "messages", "does not take %s; it takes %s", v.MediaType, strings.Join(media, ", "))
				}
				if m := limits.GetMaxBlobBytes(); m > 0 && uint64(len(v.Data)) > m {
					return refuse(CodeTooLarge, "messages", "takes files of up to %d bytes, this one has %d", m, len(v.Data))
				}
			}
		}
		return nil
	}
	for _, m := range t.Messages {
		if err := walk(m.Parts); err != nil {
			return err
		}
	}
	if m := limits.GetMaxPromptBytes(); m > 0 && size > m {
		return refuse(CodeTooLarge, "messages", "takes prompts of up to %d bytes, this one has %d", m, size)
	}
	return nil
}

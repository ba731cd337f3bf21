package engine

import (
	"cmp"
	"encoding/json"
	"time"
)

// Turn is one request to a backend, decoded from whatever dialect it came in.
// The engine does not change it.
type Turn struct {
	// Model is the name as the client gave it: a backend, backend/model, a model
	// id, or an alias. With Backend set it is that backend's model; empty means
	// the backend's default.
	Model string
	// Backend is set when the client named it apart from the model.
	Backend string
	// Owner is whose turn it is (the hash of an API key); conversations of
	// different owners are never joined.
	Owner string
	// Dialect and RequestID say where it came from, for Engine.Executions.
	Dialect, RequestID string

	Mode Mode
	// DefaultMode is that of a turn without a Mode of its own, or of its session's or
	// alias's; unspecified: chat.
	DefaultMode Mode
	System      string
	Messages    []Message
	Tools       []Tool
	ToolChoice  ToolChoice
	// SingleCall says that the answer may have at most one call of the client's tools.
	SingleCall   bool
	OutputSchema json.RawMessage
	WorkingDir   string
	Approval     ApprovalMode
	Sandbox      SandboxMode
	Sampling     Sampling
	// Timeout of the turn; 0: the engine's default.
	Timeout time.Duration
	// MaxSteps bounds the model calls of the turn; 0: the backend's own bound.
	MaxSteps int
	// ExtraArguments for the CLI, checked by the plugin.
	ExtraArguments []string
	// NoLive says that the conversation will not be continued, so that it is not
	// worth keeping a process for it.
	NoLive bool
	// Choices is how many turns run side by side as answers to one question; above 1
	// they must not share a working directory.
	Choices int
	// StrictParams turns parameters that would be ignored into an error.
	StrictParams bool
	// Keep asks for the conversation to be kept; nil: it is not.
	Keep *Keep
	// Session is what became of Keep; nil when the conversation is not kept.
	Session *Session
	// Watcher follows the turn once it runs; nil: nobody does.
	Watcher Watcher
	// Cancelled is closed when the turn is to end as by Engine.Cancel, also before it
	// has begun; nil: never.
	Cancelled <-chan struct{}
}

// WantedMode is the turn's mode, as far as it is known before its session and its alias
// have their say.
func (t *Turn) WantedMode() Mode { return cmp.Or(t.Mode, t.DefaultMode, ModeChat) }

// Mode says what the backend is used for; the numbers of these enums are the
// contract's.
type Mode int32

// Modes.
const (
	ModeUnspecified Mode = iota
	ModeChat
	ModeAgent
)

// ApprovalMode says when the backend asks before it acts.
type ApprovalMode int32

// Approval modes.
const (
	ApprovalUnspecified ApprovalMode = iota
	ApprovalDefault
	ApprovalAuto
	ApprovalNone
	ApprovalAlways
)

// SandboxMode says what the backend's own tools can reach.
type SandboxMode int32

// Sandbox modes.
const (
	SandboxUnspecified SandboxMode = iota
	SandboxDefault
	SandboxReadOnly
	SandboxWorkspace
	SandboxFull
)

// Names of the modes, as clients and the configuration write them.
var (
	modeNames     = map[string]Mode{"chat": ModeChat, "agent": ModeAgent}
	approvalNames = map[string]ApprovalMode{
		"default": ApprovalDefault, "auto": ApprovalAuto, "none": ApprovalNone, "always": ApprovalAlways,
	}
	sandboxNames = map[string]SandboxMode{
		"default": SandboxDefault, "read-only": SandboxReadOnly, "workspace": SandboxWorkspace, "full": SandboxFull,
	}
)

// nameOf finds the name of a mode; empty: it has none.
func nameOf[M comparable](names map[string]M, mode M) string {
	for name, m := range names {
		if m == mode {
			return name
		}
	}
	return ""
}

// String is the name that ParseMode reads; empty for ModeUnspecified.
func (m Mode) String() string { return nameOf(modeNames, m) }

// String is the name that ParseApproval reads; empty for ApprovalUnspecified.
func (m ApprovalMode) String() string { return nameOf(approvalNames, m) }

// String is the name that ParseSandbox reads; empty for SandboxUnspecified.
func (m SandboxMode) String() string { return nameOf(sandboxNames, m) }

// ParseMode reads "chat" or "agent"; anything else is ModeUnspecified.
func ParseMode(name string) Mode { return modeNames[name] }

// ParseApproval reads "default", "auto", "none" or "always"; anything else is
// ApprovalUnspecified.
func ParseApproval(name string) ApprovalMode { return approvalNames[name] }

// ParseSandbox reads "default", "read-only", "workspace" or "full"; anything else
// is SandboxUnspecified.
func ParseSandbox(name string) SandboxMode { return sandboxNames[name] }

// Role is the author of a message.
type Role int32

// Roles.
const (
	RoleUser Role = iota + 1
	RoleAssistant
)

// Message is one message of a conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// Part is one of Text, Blob, ToolCall, ToolResult, Reasoning.
type Part interface{ isPart() }

// Text is plain text; it must be valid UTF-8.
type Text string

// Blob is binary content.
type Blob struct {
	MediaType string
	Data      []byte
	Name      string
	// URL is where the content has to be fetched from before the turn is executed;
	// MediaType is then what it must be, or with a slash at its end how that begins.
	// Empty: Data holds the content.
	URL string
	// Field is the client's name of the URL, for errors.
	Field string
}

// ToolCall is a call by the model.
type ToolCall struct {
	ID, Name string
	// Arguments is JSON text as the model wrote it.
	Arguments string
}

// ToolResult is the outcome of a call.
type ToolResult struct {
	CallID, Name string
	Parts        []Part
	IsError      bool
}

// Reasoning is an earlier block of reasoning, given back.
type Reasoning struct {
	Text      string
	Signature []byte
	Redacted  bool
}

func (Text) isPart()       {}
func (Blob) isPart()       {}
func (ToolCall) isPart()   {}
func (ToolResult) isPart() {}
func (Reasoning) isPart()  {}

// complete refuses files that were not fetched: a plugin must not see a URL of the
// client's, and nothing but the content would be of use to it.
func (t *Turn) complete() error {
	for _, m := range t.Messages {
		if b := linked(m.Parts); b != nil {
			err := Errorf(CodeUnsupported, "%s has a URL; send the content itself: it is not fetched here", b.Field)
			err.Param = b.Field
			return err
		}
	}
	return nil
}

// linked finds the first file whose content is elsewhere.
func linked(parts []Part) *Blob {
	for _, p := range parts {
		switch v := p.(type) {
		case Blob:
			if v.URL != "" {
				return &v
			}
		case ToolResult:
			if b := linked(v.Parts); b != nil {
				return b
			}
		}
	}
	return nil
}

// Tool is a tool that the client carries out.
type Tool struct {
	Name, Description string
	InputSchema       json.RawMessage
}

// ToolChoiceKind restricts the model's use of tools.
type ToolChoiceKind int

// Kinds of tool choice.
const (
	ToolChoiceAuto ToolChoiceKind = iota
	ToolChoiceRequired
	ToolChoiceNone
	ToolChoiceName
)

// ToolChoice is a kind and, with ToolChoiceName, the tool.
type ToolChoice struct {
	Kind ToolChoiceKind
	Name string
}

// Forced says that the answer must be a call.
func (c ToolChoice) Forced() bool { return c.Kind == ToolChoiceRequired || c.Kind == ToolChoiceName }

// Sampling settings; nil and empty mean the backend's own.
type Sampling struct {
	Temperature      *float64
	TopP             *float64
	TopK             *int64
	MaxOutputTokens  *int64
	Stop             []string
	Seed             *int64
	PresencePenalty  *float64
	FrequencyPenalty *float64
	ReasoningEffort  string
	ReasoningTokens  *int64
}

// Fields of Sampling, and of Turn, that a backend may not honour; the names are
// the contract's.
const (
	FieldTemperature      = "temperature"
	FieldTopP             = "top_p"
	FieldTopK             = "top_k"
	FieldMaxOutputTokens  = "max_output_tokens"
	FieldStop             = "stop"
	FieldSeed             = "seed"
	FieldPresencePenalty  = "presence_penalty"
	FieldFrequencyPenalty = "frequency_penalty"
	FieldReasoningEffort  = "reasoning_effort"
	FieldReasoningTokens  = "reasoning_tokens"
	FieldTools            = "tools"
	FieldChoices          = "n"
)

// set lists the fields that have a value.
func (s Sampling) set() (names []string) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{FieldTemperature, s.Temperature != nil},
		{FieldTopP, s.TopP != nil},
		{FieldTopK, s.TopK != nil},
		{FieldMaxOutputTokens, s.MaxOutputTokens != nil},
		{FieldStop, len(s.Stop) > 0},
		{FieldSeed, s.Seed != nil},
		{FieldPresencePenalty, s.PresencePenalty != nil},
		{FieldFrequencyPenalty, s.FrequencyPenalty != nil},
		{FieldReasoningEffort, s.ReasoningEffort != ""},
		{FieldReasoningTokens, s.ReasoningTokens != nil},
	} {
		if f.set {
			names = append(names, f.name)
		}
	}
	return names
}

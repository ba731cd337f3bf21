package plugins

import (
	"context"
	"encoding/json"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Backend is what a plugin must be able to do. All methods may be called
// concurrently. A method that panics fails its own call only.
type Backend interface {
	// Describe tells what this backend is. It must not touch the network nor
	// start a program, and always returns the same.
	Describe() Description

	// Health says whether Execute could work now. It must return within three
	// seconds and make no model call; deep also allows checks that take time,
	// such as asking the CLI for its version.
	Health(ctx context.Context, deep bool) (Health, error)

	// Models lists the models that Execute accepts, the default first.
	Models(ctx context.Context) ([]Model, error)

	// Execute runs one turn and writes what happens to out. Returning nil ends
	// the turn as completed, with what out.Finish was given; returning an error
	// ends it as failed, with the code of the *Error in its chain (CodeInternal
	// without one). When ctx is cancelled Execute must stop the turn upstream,
	// leave no process behind and return within two seconds. When
	// turn.Interrupted is closed it should end the turn early but properly,
	// finishing with FinishInterrupted. out must not be used after the return.
	Execute(ctx context.Context, turn *Turn, out *Stream) error
}

// Configurer is implemented by backends that take settings or environment.
type Configurer interface {
	// Configure is called exactly once, before anything but Describe. It must
	// return within ten seconds; warming up goes on in the background. Any
	// error finding keeps the plugin out of service.
	Configure(ctx context.Context, config Config) []Diagnostic
}

// Closer is implemented by backends that hold processes or files.
type Closer interface {
	// Close ends everything that the backend runs, within two seconds. It is
	// called once, after the last Execute has returned or been cancelled.
	Close(ctx context.Context) error
}

// ChatMode is implemented by backends that serve ModeChat.
type ChatMode interface {
	ChatSupport() ChatSupport
}

// AgentMode is implemented by backends that serve ModeAgent.
type AgentMode interface {
	AgentSupport() AgentSupport
}

// SessionKeeper is implemented by backends that honour Turn.Session.
type SessionKeeper interface {
	SessionSupport() SessionSupport
}

// SessionLister is implemented by backends that can list and delete sessions.
type SessionLister interface {
	SessionKeeper
	// ListSessions lists resumable sessions, newest first; only those of
	// workingDir when it is not empty.
	ListSessions(ctx context.Context, workingDir string) ([]SessionInfo, error)
	// DeleteSession forgets a session. An unknown token is no error.
	DeleteSession(ctx context.Context, token []byte) error
}

// LiveKeeper is implemented by backends that honour Turn.Live.
type LiveKeeper interface {
	LiveSupport() LiveSupport
}

// ToolCaller is implemented by backends that can hand tool calls to the client.
type ToolCaller interface {
	ToolSupport() ToolSupport
}

// Approver is implemented by backends that ask with Stream.Approve.
type Approver interface {
	ApprovalSupport() ApprovalSupport
}

// StructuredOutputter is implemented by backends that honour Turn.OutputSchema.
type StructuredOutputter interface {
	StructuredOutputSupport() StructuredOutputSupport
}

// Reasoner is implemented by backends that emit reasoning.
type Reasoner interface {
	ReasoningSupport() ReasoningSupport
}

// MediaReader is implemented by backends that accept Blob parts.
type MediaReader interface {
	// InputMediaTypes lists media types, for example "image/png".
	InputMediaTypes() []string
}

// TokenCounter is implemented by backends that can measure a prompt.
type TokenCounter interface {
	// CountTokens measures the turn's system prompt, messages and tools;
	// estimated says that the number is not the provider's own.
	CountTokens(ctx context.Context, turn *Turn) (tokens int64, estimated bool, err error)
}

// Reliever is implemented by backends that keep processes for later and can give
// them up when the backend uses more than the operator allows.
type Reliever interface {
	// Relieve gives up what relief says, and keeps none of it until the next call.
	// It must return within two seconds; ending processes may go on in the
	// background. Turns that run are not touched.
	Relieve(ctx context.Context, relief Relief) error
}

// Description tells what a backend is.
type Description struct {
	// Name of the backend, [a-z][a-z0-9-]{0,31}, the NAME of clinvk-backend-NAME.
	Name string
	// Title for people, for example "Claude Code".
	Title string
	// Summary is one line.
	Summary string
	// Homepage or repository.
	Homepage string
	// License is an SPDX expression.
	License string
	// Limits that the host keeps.
	Limits Limits
	// ConfigSchema is the JSON Schema (2020-12) of Config.Settings; nil: none are taken.
	ConfigSchema json.RawMessage
	// Requirements are the programs that the backend runs.
	Requirements []Requirement
	// Environment names the server's variables that the CLI can use. What the
	// operator grants arrives in Config.Environment.
	Environment []string
}

// Limits bound one plugin process; 0 means no limit of its own.
type Limits struct {
	// MaxConcurrent is the number of concurrent turns.
	MaxConcurrent int
	// MaxPromptBytes bounds the text of a turn, in bytes.
	MaxPromptBytes int64
	// MaxBlobBytes bounds one Blob, in bytes.
	MaxBlobBytes int64
}

// Requirement is an external program.
type Requirement struct {
	// Command is looked up in PATH.
	Command string
	// MinVersion is the lowest version that works.
	MinVersion string
	// InstallHint is the command that installs it.
	InstallHint string
}

// ChatSupport describes ModeChat.
type ChatSupport struct {
	// Sampling lists the honoured fields of Sampling by their proto names, for
	// example "temperature".
	Sampling []string
}

// AgentSupport describes ModeAgent.
type AgentSupport struct {
	// Approvals are the approval modes that are honoured.
	Approvals []ApprovalMode
	// Sandboxes are the sandbox modes that are honoured.
	Sandboxes []SandboxMode
	// Sampling as in ChatSupport.
	Sampling []string
}

// SessionSupport describes what works with sessions besides continuing one.
type SessionSupport struct {
	// Fork says that a session can be branched.
	Fork bool
	// BoundToWorkingDir says that a session is found only where it was made.
	BoundToWorkingDir bool
	// AgentOnly says that Turn.Session comes in ModeAgent only: in ModeChat the
	// messages are all that a session would hold.
	AgentOnly bool
}

// LiveSupport describes live conversations.
type LiveSupport struct {
	// IdleTimeout is how long one is kept without a turn.
	IdleTimeout time.Duration
}

// ToolSupport describes client tools.
type ToolSupport struct {
	// ForcedChoice says that a call can be required.
	ForcedChoice bool
	// ParallelCalls says that one answer may hold several calls.
	ParallelCalls bool
}

// ApprovalSupport describes approvals.
type ApprovalSupport struct {
	// Persistent says that a decision can be remembered for the session.
	Persistent bool
}

// StructuredOutputSupport describes how OutputSchema is honoured.
type StructuredOutputSupport struct {
	// Strict says that the provider enforces the schema.
	Strict bool
	// ChatOnly says that it is honoured in chat mode only.
	ChatOnly bool
	// ClosedObjects says that the provider takes only schemas whose objects have
	// additionalProperties false; the host adds it where a schema does not say.
	ClosedObjects bool
	// AllRequired says that it takes only schemas whose properties are all required.
	AllRequired bool
	// RefusedKeywords are those that it refuses. A schema that does not fit is put into
	// words by the host, which checks the answer in any case.
	RefusedKeywords []string
}

// ReasoningSupport describes reasoning.
type ReasoningSupport struct {
	// Signatures says that blocks carry signatures that can be given back.
	Signatures bool
}

// Config is what the operator set for this plugin.
type Config struct {
	// Settings match Description.ConfigSchema.
	Settings json.RawMessage
	// StateDir is private and survives restarts.
	StateDir string
	// ScratchDir is private, has a short path, and is emptied on restart.
	ScratchDir string
	// Environment holds the granted variables of Description.Environment.
	Environment map[string]string
	// Command is the CLI's binary when the operator names one.
	Command string
	// Warm is how many spares to keep; negative: the backend's own choice.
	Warm int
}

// Diagnostic is one finding about the configuration.
type Diagnostic struct {
	Severity Severity
	// Path is a JSON Pointer into Config.Settings; may be empty.
	Path string
	// Summary is one line that says what to do.
	Summary string
	// Detail is a longer explanation.
	Detail string
}

// Health is the state of a backend.
type Health struct {
	State HealthState
	// Message is one line for a person.
	Message string
	// Remedy is the command that would mend it; may be empty.
	Remedy string
	// Versions of the programs in Description.Requirements, by command.
	Versions map[string]string
}

// Model describes a model. Zero numbers and times mean unknown.
type Model struct {
	ID              string
	Title           string
	Aliases         []string
	Default         bool
	ContextWindow   int64
	MaxOutputTokens int64
	Created         time.Time
}

// Previewer is implemented by backends that can say how they would run their CLI.
type Previewer interface {
	// Preview says how Execute would run the CLI for turn. It starts nothing and
	// must return within two seconds.
	Preview(ctx context.Context, turn *Turn) (Preview, error)
}

// Preview is how a CLI would be run.
type Preview struct {
	// CommandLine is the command with its arguments, without prompts and secrets.
	CommandLine []string
	// Environment lists the names of the variables that the CLI would get.
	Environment []string
	// WorkingDir that it would run in; empty: a private one made for it.
	WorkingDir string
}

// Turn is one request to the backend. The backend must not change it.
type Turn struct {
	// ID is assigned by the host; for logs.
	ID string
	// Model is empty for the default model.
	Model string
	Mode  Mode
	// System is the caller's system prompt.
	System string
	// Messages is the whole conversation, the last message being the one to answer.
	Messages []Message
	// Session is nil when no session is to be kept.
	Session *Session
	// Live is nil when no live conversation is wanted. With a session too, a live
	// conversation that is there wins and stays that session.
	Live *Live
	// Tools are the client's.
	Tools      []Tool
	ToolChoice ToolChoice
	// OutputSchema is a JSON Schema for the final text; nil: free text.
	OutputSchema json.RawMessage
	// WorkingDir is absolute; empty: an empty private directory.
	WorkingDir string
	Approval   ApprovalMode
	Sandbox    SandboxMode
	Sampling   Sampling
	// Timeout of the turn; 0: none. ctx ends a grace period later.
	Timeout time.Duration
	// MaxSteps bounds the model calls of the turn; 0: the backend's own bound.
	MaxSteps int
	// ExtraArguments for the CLI; refuse what is not allowed.
	ExtraArguments []string
	// Options are the backend's own, of this request.
	Options map[string]any
	// Interrupted is closed when the turn should end early but properly.
	Interrupted <-chan struct{}
}

// Session names a conversation that the backend keeps on disk. Turn.Messages is
// nevertheless the whole conversation, so a backend that does not find the session
// any more makes a new one of everything.
type Session struct {
	Action SessionAction
	// Token as once given to Finish.SessionToken; empty with SessionCreate.
	Token []byte
	// Held is how many of Turn.Messages the session already holds.
	Held int
}

// SessionInfo describes a resumable session.
type SessionInfo struct {
	Token      []byte
	Title      string
	WorkingDir string
	Updated    time.Time
}

// Live names a conversation that the plugin process holds in memory. Turn.Messages
// is nevertheless the whole conversation, so a backend that has dropped the live
// one sends everything.
type Live struct {
	// Token as given to Finish.LiveToken; empty: begin a new one. Good for one turn.
	Token []byte
	// Held is how many of Turn.Messages the conversation already holds. The host
	// guarantees that everything else that shapes the answer is unchanged.
	Held int
}

// Message is one message of the conversation.
type Message struct {
	Role  Role
	Parts []Part
}

// Part is one of Text, Blob, ToolCall, ToolResult, Reasoning.
type Part interface{ isPart() }

// Text is plain text.
type Text string

// Blob is binary content.
type Blob struct {
	MediaType string
	Data      []byte
	// Name of the file; may be empty.
	Name string
}

// Reasoning is a block of earlier reasoning, given back unchanged.
type Reasoning struct {
	Text      string
	Signature []byte
	// Redacted says that Signature holds encrypted content and Text is empty.
	Redacted bool
}

// ToolCall is a call by the model.
type ToolCall struct {
	ID   string
	Name string
	// Arguments is JSON text, exactly as the model wrote it.
	Arguments string
	Origin    ToolOrigin
}

// ToolResult is the outcome of a call.
type ToolResult struct {
	CallID string
	// Name of the tool; may be empty.
	Name string
	// Parts are Text and Blob.
	Parts   []Part
	IsError bool
}

func (Text) isPart()       {}
func (Blob) isPart()       {}
func (Reasoning) isPart()  {}
func (ToolCall) isPart()   {}
func (ToolResult) isPart() {}

// Tool is a tool that the client carries out.
type Tool struct {
	Name        string
	Description string
	// InputSchema is the JSON Schema of the arguments.
	InputSchema json.RawMessage
}

// ToolChoice restricts the model's use of tools. The zero value is auto.
type ToolChoice struct {
	Kind ToolChoiceKind
	// Name of the tool with ToolChoiceName.
	Name string
}

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

// Usage counts tokens of the turn so far; nil means unknown, not zero.
type Usage struct {
	// InputTokens were read, cached ones included.
	InputTokens *int64
	// OutputTokens were written, reasoning included.
	OutputTokens *int64
	// CacheReadTokens are those of InputTokens that came from a cache.
	CacheReadTokens *int64
	// CacheWriteTokens are those of InputTokens that were written to a cache.
	CacheWriteTokens *int64
	// ReasoningTokens are those of OutputTokens that are reasoning.
	ReasoningTokens *int64
	// CostMicroUSD is in millionths of a US dollar.
	CostMicroUSD *int64
	// Estimated says that the plugin counted, not the provider.
	Estimated bool
}

// Finish says how a completed turn ended.
type Finish struct {
	// Reason; the zero value is FinishStop.
	Reason FinishReason
	// StopSequence that matched, with FinishStopSequence.
	StopSequence string
	// Model that answered.
	Model string
	// SessionToken for Session.Token of a later turn, at most 4 KiB. After SessionResume
	// the token before it is of no use any more.
	SessionToken []byte
	// LiveToken for Live.Token of the next turn; empty: not kept.
	LiveToken []byte
}

// The enums have the numbers of the contract.
type (
	// Mode says what the backend is used for.
	Mode int32
	// ApprovalMode says when the backend asks before it acts.
	ApprovalMode int32
	// SandboxMode says what the backend's own tools can reach.
	SandboxMode int32
	// SessionAction says what to do with a session.
	SessionAction int32
	// Role is the author of a message.
	Role int32
	// ToolOrigin says who runs a tool.
	ToolOrigin int32
	// ToolChoiceKind is the kind of a ToolChoice.
	ToolChoiceKind int32
	// HealthState is the state of a backend.
	HealthState int32
	// Severity of a Diagnostic or Notice.
	Severity int32
	// FinishReason says why a turn ended.
	FinishReason int32
	// Relief says what a backend gives up; a higher one includes the lower.
	Relief int32
)

// Modes. An unspecified mode arrives as ModeChat, unspecified approval and
// sandbox modes as the defaults.
const (
	ModeChat  = Mode(backendv1.Mode_MODE_CHAT)
	ModeAgent = Mode(backendv1.Mode_MODE_AGENT)

	ApprovalDefault = ApprovalMode(backendv1.ApprovalMode_APPROVAL_MODE_DEFAULT)
	ApprovalAuto    = ApprovalMode(backendv1.ApprovalMode_APPROVAL_MODE_AUTO)
	ApprovalNone    = ApprovalMode(backendv1.ApprovalMode_APPROVAL_MODE_NONE)
	ApprovalAlways  = ApprovalMode(backendv1.ApprovalMode_APPROVAL_MODE_ALWAYS)

	SandboxDefault   = SandboxMode(backendv1.SandboxMode_SANDBOX_MODE_DEFAULT)
	SandboxReadOnly  = SandboxMode(backendv1.SandboxMode_SANDBOX_MODE_READ_ONLY)
	SandboxWorkspace = SandboxMode(backendv1.SandboxMode_SANDBOX_MODE_WORKSPACE)
	SandboxFull      = SandboxMode(backendv1.SandboxMode_SANDBOX_MODE_FULL)
)

// Sessions, roles and tools.
const (
	SessionCreate = SessionAction(backendv1.SessionAction_SESSION_ACTION_CREATE)
	SessionResume = SessionAction(backendv1.SessionAction_SESSION_ACTION_RESUME)
	SessionFork   = SessionAction(backendv1.SessionAction_SESSION_ACTION_FORK)

	RoleUser      = Role(backendv1.Role_ROLE_USER)
	RoleAssistant = Role(backendv1.Role_ROLE_ASSISTANT)

	OriginBackend = ToolOrigin(backendv1.ToolOrigin_TOOL_ORIGIN_BACKEND)
	OriginClient  = ToolOrigin(backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT)

	ToolChoiceAuto     = ToolChoiceKind(0)
	ToolChoiceRequired = ToolChoiceKind(1)
	ToolChoiceNone     = ToolChoiceKind(2)
	ToolChoiceName     = ToolChoiceKind(3)
)

// Steps of relief. An unspecified one arrives as ReliefNone.
const (
	// ReliefNone gives nothing up: all is kept as usual.
	ReliefNone = Relief(backendv1.ReliefLevel_RELIEF_LEVEL_NONE)
	// ReliefSpares gives up what is started ahead of need.
	ReliefSpares = Relief(backendv1.ReliefLevel_RELIEF_LEVEL_SPARES)
	// ReliefIdle gives up conversations that wait for their next turn as well.
	ReliefIdle = Relief(backendv1.ReliefLevel_RELIEF_LEVEL_IDLE)
)

// States, severities and finish reasons.
const (
	HealthReady           = HealthState(backendv1.HealthState_HEALTH_STATE_READY)
	HealthDegraded        = HealthState(backendv1.HealthState_HEALTH_STATE_DEGRADED)
	HealthNotInstalled    = HealthState(backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED)
	HealthUnauthenticated = HealthState(backendv1.HealthState_HEALTH_STATE_UNAUTHENTICATED)
	HealthUnavailable     = HealthState(backendv1.HealthState_HEALTH_STATE_UNAVAILABLE)

	SeverityWarning = Severity(backendv1.Severity_SEVERITY_WARNING)
	SeverityError   = Severity(backendv1.Severity_SEVERITY_ERROR)

	FinishStop          = FinishReason(backendv1.FinishReason_FINISH_REASON_STOP)
	FinishLength        = FinishReason(backendv1.FinishReason_FINISH_REASON_LENGTH)
	FinishToolCalls     = FinishReason(backendv1.FinishReason_FINISH_REASON_TOOL_CALLS)
	FinishStopSequence  = FinishReason(backendv1.FinishReason_FINISH_REASON_STOP_SEQUENCE)
	FinishContentFilter = FinishReason(backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER)
	FinishInterrupted   = FinishReason(backendv1.FinishReason_FINISH_REASON_INTERRUPTED)
)

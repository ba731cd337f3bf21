package engine

// Event is one thing that happens in a turn: *Started, *TextDelta,
// *ReasoningDelta, *ToolCallStarted, *ToolCallDelta, *ToolCallDone,
// *ToolResultEvent, *UsageEvent, *Notice or *Completed.
//
// The engine guarantees: Started is the first; blocks never overlap and their
// numbers only grow; every call of the client's tools has one ToolCallStarted,
// deltas that add up to its arguments, and one ToolCallDone; Completed is the
// last. Failure is no event: Execution.Next returns it as an error.
type Event interface{ isEvent() }

// Started says that the backend is at work.
type Started struct {
	// Model is the backend's own name of it; empty when it does not say.
	Model string
	// Live says that a live conversation was used.
	Live bool
}

// TextDelta appends to a block of the answer; never empty, never half a code point.
type TextDelta struct {
	Block int
	Text  string
}

// ReasoningDelta appends to a block of reasoning. Signature, when there is one,
// comes with the block's last delta.
type ReasoningDelta struct {
	Block     int
	Text      string
	Signature []byte
	Redacted  bool
}

// ToolCallStarted opens a call.
type ToolCallStarted struct {
	Block    int
	ID, Name string
	// Client says that the client carries it out; otherwise the backend does.
	Client bool
}

// ToolCallDelta appends to the JSON text of a call's arguments.
type ToolCallDelta struct {
	ID, Arguments string
	Client        bool
}

// ToolCallDone is the complete call.
type ToolCallDone struct {
	ToolCall
	Client bool
}

// ToolResultEvent is the result of a tool that the backend ran.
type ToolResultEvent struct{ ToolResult }

// UsageEvent is the usage so far, cumulative.
type UsageEvent struct{ Usage }

// Notice is a line for people, not part of the answer.
type Notice struct{ Message string }

// Completed ends a turn that worked.
type Completed struct {
	Reason       FinishReason
	StopSequence string
	Usage        Usage
	// Model is the backend's own name of what answered.
	Model        string
	SessionToken []byte
}

func (*Started) isEvent()         {}
func (*TextDelta) isEvent()       {}
func (*ReasoningDelta) isEvent()  {}
func (*ToolCallStarted) isEvent() {}
func (*ToolCallDelta) isEvent()   {}
func (*ToolCallDone) isEvent()    {}
func (*ToolResultEvent) isEvent() {}
func (*UsageEvent) isEvent()      {}
func (*Notice) isEvent()          {}
func (*Completed) isEvent()       {}

// FinishReason says why a turn ended; the numbers are the contract's.
type FinishReason int32

// Finish reasons.
const (
	FinishStop FinishReason = iota + 1
	FinishLength
	FinishToolCalls
	FinishStopSequence
	FinishContentFilter
	FinishInterrupted
)

// String is the reason in the words of our own answers and of transcripts; "stop" when
// the backend gave none.
func (r FinishReason) String() string {
	switch r {
	case FinishLength:
		return "length"
	case FinishToolCalls:
		return "tool_calls"
	case FinishStopSequence:
		return "stop_sequence"
	case FinishContentFilter:
		return "content_filter"
	case FinishInterrupted:
		return "interrupted"
	case FinishStop:
	}
	return "stop"
}

// Usage counts tokens; nil means unknown, not zero.
type Usage struct {
	// InputTokens include cached ones.
	InputTokens *int64
	// OutputTokens include reasoning.
	OutputTokens     *int64
	CacheReadTokens  *int64
	CacheWriteTokens *int64
	ReasoningTokens  *int64
	CostMicroUSD     *int64
	// Estimated says that the numbers were not counted by the provider.
	Estimated bool
}

// Known reads a counter of Usage, 0 when unknown.
func Known(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

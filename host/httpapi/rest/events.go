package rest

import (
	"encoding/json"
	"strconv"

	"github.com/clinvk/clinvk/host/engine"
)

// event is one line of a stream.
type event struct {
	Type      string `json:"type"`
	Backend   string `json:"backend"`
	SessionID string `json:"session_id"`
	Timestamp string `json:"timestamp"`
	Sequence  int    `json:"sequence"`
	Content   any    `json:"content"`
	// Index of the task or the backend, from 0, and Step, from 1, of verbs that run
	// several turns.
	Index *int `json:"index,omitempty"`
	Step  int  `json:"step,omitempty"`
}

type message struct {
	Text      string `json:"text"`
	IsPartial bool   `json:"is_partial"`
}

type toolUse struct {
	ID    string          `json:"id"`
	Name  string          `json:"name"`
	Input json.RawMessage `json:"input"`
}

type toolResult struct {
	ID      string `json:"id"`
	Output  string `json:"output"`
	IsError bool   `json:"is_error"`
}

type done struct {
	TokenUsage   usage  `json:"token_usage"`
	DurationMS   int64  `json:"duration_ms"`
	FinishReason string `json:"finish_reason"`
	// Timing is there when verbose was asked for.
	Timing *timing `json:"timing,omitempty"`
}

type failure struct {
	Code         string `json:"code"`
	Message      string `json:"message"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	ExitCode     *int   `json:"exit_code,omitempty"`
	StderrTail   string `json:"stderr_tail,omitempty"`
}

// events makes this dialect's events of the engine's.
type events struct {
	x        *engine.Execution
	sequence int
	verbose  bool
}

func (e *events) make(kind string, content any) event {
	e.sequence++
	return event{
		Type: kind, Backend: e.x.Backend, SessionID: e.x.Session, Timestamp: now(),
		Sequence: e.sequence, Content: content,
	}
}

// of returns the form of ev; false: it has none.
func (e *events) of(ev engine.Event) (event, bool) {
	switch v := ev.(type) {
	case *engine.Started:
		return e.make("init", map[string]any{"execution_id": e.x.ID, "model": shown(e.x, v.Model)}), true
	case *engine.TextDelta:
		return e.make("message", message{v.Text, true}), true
	case *engine.ReasoningDelta:
		if v.Text == "" {
			return event{}, false
		}
		return e.make("thinking", message{v.Text, true}), true
	case *engine.ToolCallDone:
		input := json.RawMessage(v.Arguments)
		if !json.Valid(input) {
			input, _ = json.Marshal(v.Arguments) // a string always marshals
		}
		return e.make("tool_use", toolUse{v.ID, v.Name, input}), true
	case *engine.ToolResultEvent:
		return e.make("tool_result", toolResult{v.CallID, textOf(v.Parts), v.IsError}), true
	case *engine.UsageEvent:
		return e.make("token_usage", usageOf(v.Usage)), true
	case *engine.Notice:
		return e.make("notice", message{Text: v.Message}), true
	case *engine.Completed:
		t := e.x.Timing()
		content := done{TokenUsage: usageOf(v.Usage), DurationMS: t.Total.Milliseconds(), FinishReason: v.Reason.String()}
		if e.verbose {
			content.Timing = timingOf(t)
		}
		return e.make("done", content), true
	}
	return event{}, false
}

func textOf(parts []engine.Part) (s string) {
	for _, p := range parts {
		switch v := p.(type) {
		case engine.Text:
			s += string(v)
		case engine.Blob:
			s += "[" + v.MediaType + ", " + strconv.Itoa(len(v.Data)) + " bytes]"
		}
	}
	return s
}

func (e *events) failed(err *engine.Error) event {
	return e.make("error", failureOf(err))
}

func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // our own types always marshal
		panic(err)
	}
	return append(b, text...)
}

// ndjson writes one event a line.
type ndjson struct{ events }

func (*ndjson) ContentType() string       { return "application/x-ndjson" }
func (*ndjson) Begin(b []byte) []byte     { return b }
func (*ndjson) Heartbeat(b []byte) []byte { return append(b, '\n') }

func (n *ndjson) Event(b []byte, ev engine.Event) []byte {
	if e, ok := n.of(ev); ok {
		b = append(appendJSON(b, e), '\n')
	}
	return b
}

func (n *ndjson) Fail(b []byte, err *engine.Error) []byte {
	return append(appendJSON(b, n.failed(err)), '\n')
}

// sse writes server-sent events with ids.
type sse struct{ events }

func (*sse) ContentType() string       { return "text/event-stream" }
func (*sse) Begin(b []byte) []byte     { return b }
func (*sse) Heartbeat(b []byte) []byte { return append(b, ": keep-alive\n\n"...) }

func (s *sse) Event(b []byte, ev engine.Event) []byte {
	if e, ok := s.of(ev); ok {
		b = s.write(b, e)
	}
	return b
}

func (s *sse) Fail(b []byte, err *engine.Error) []byte { return s.write(b, s.failed(err)) }

func (*sse) write(b []byte, e event) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, int64(e.Sequence), 10)
	b = append(b, "\nevent: "...)
	b = append(b, e.Type...)
	b = append(b, "\ndata: "...)
	b = appendJSON(b, e)
	return append(b, "\n\n"...)
}

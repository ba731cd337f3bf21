package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrForeign is returned by Parse for a line that is no message at all, such as
// a warning of the CLI's runtime.
var ErrForeign = errors.New("not a message of the protocol")

// Types of Line. Others exist and more come with each release; they are ignored.
const (
	TypeSystem          = "system"
	TypeStreamEvent     = "stream_event"
	TypeAssistant       = "assistant"
	TypeUser            = "user"
	TypeResult          = "result"
	TypeControlRequest  = "control_request"
	TypeControlResponse = "control_response"
)

// SubtypeRetry is the subtype of TypeSystem that announces another attempt.
const SubtypeRetry = "api_retry"

// SubtypeInit is the subtype of TypeSystem with which each turn begins.
const SubtypeInit = "init"

// Line is one line of the CLI's stdout. Which fields are set depends on Type.
type Line struct {
	Type    string
	Subtype string
	// Parent is the tool call of a subagent that the line belongs to; empty: the
	// main conversation.
	Parent string
	// ID of a message; in the session's transcript it has the same.
	ID string
	// Event of TypeStreamEvent, as the API sent it.
	Event *Event
	// Message of TypeAssistant and TypeUser.
	Message *Message
	// Failure is the CLI's word for what went wrong: with TypeAssistant, when the
	// text is the CLI's and no answer, and with SubtypeRetry.
	Failure string
	// Retry of SubtypeRetry.
	Retry *Retry
	// Result of TypeResult.
	Result *Result
	// Request of TypeControlRequest.
	Request *ControlRequest
	// Response of TypeControlResponse.
	Response *ControlResponse
}

// Event is a server-sent event of the Messages API.
type Event struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		ID    string `json:"id"`
		Model string `json:"model"`
		Usage *Usage `json:"usage"`
	} `json:"message"`
	ContentBlock Block `json:"content_block"`
	Delta        struct {
		Type         string `json:"type"`
		Text         string `json:"text"`
		Thinking     string `json:"thinking"`
		Signature    string `json:"signature"`
		PartialJSON  string `json:"partial_json"`
		StopReason   string `json:"stop_reason"`
		StopSequence string `json:"stop_sequence"`
	} `json:"delta"`
	Usage *Usage `json:"usage"`
}

// Usage is what the API reports; nil means that it was not told.
type Usage struct {
	Input      *int64 `json:"input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	Output     *int64 `json:"output_tokens"`
	Details    *struct {
		Thinking *int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// Block is a content block.
type Block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	Signature string          `json:"signature"`
	Data      string          `json:"data"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   Content         `json:"content"`
	IsError   bool            `json:"is_error"`
	Source    struct {
		MediaType string `json:"media_type"`
		Data      []byte `json:"data"`
	} `json:"source"`
}

// Content is a list of blocks; on the wire it may be a plain string.
type Content []Block

// UnmarshalJSON accepts a string, a list of blocks, or null. Anything else, such
// as the content of a server tool's result, is none of ours and left out.
func (c *Content) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	switch {
	case len(data) > 0 && data[0] == '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*c = Content{{Type: "text", Text: text}}
	case len(data) > 0 && data[0] == '[':
		var blocks []Block
		if err := json.Unmarshal(data, &blocks); err != nil {
			return err
		}
		*c = blocks
	}
	return nil
}

// Message is a finished message or a part of one.
type Message struct {
	ID      string  `json:"id"`
	Model   string  `json:"model"`
	Content Content `json:"content"`
	Usage   *Usage  `json:"usage"`
}

// SyntheticModel is the model of messages that the CLI wrote itself.
const SyntheticModel = "<synthetic>"

// Retry announces another attempt of a failed request.
type Retry struct {
	Attempt int `json:"attempt"`
	// DelayMS is how long the CLI waits, in milliseconds.
	DelayMS float64 `json:"retry_delay_ms"`
	// Status of the answer; nil when there was none.
	Status *int `json:"error_status"`
}

// Result ends a turn, or acknowledges a line of history.
type Result struct {
	IsError bool `json:"is_error"`
	// Status of the API's answer, when an error of the API ended the turn.
	Status *int `json:"api_error_status"`
	// Text is the answer or, with IsError, what the CLI says about the error.
	Text     string   `json:"result"`
	Errors   []string `json:"errors"`
	NumTurns int      `json:"num_turns"`
	// Terminal says why the loop ended, for example "blocking_limit".
	Terminal string `json:"terminal_reason"`
}

// ControlRequest is something that the CLI wants to know.
type ControlRequest struct {
	ID      string
	Subtype string          `json:"subtype"`
	Tool    string          `json:"tool_name"`
	Input   json.RawMessage `json:"input"`
	CallID  string          `json:"tool_use_id"`
	Reason  string          `json:"decision_reason"`
}

// ControlResponse answers a request of ours.
type ControlResponse struct {
	Subtype string          `json:"subtype"`
	ID      string          `json:"request_id"`
	Error   string          `json:"error"`
	Body    json.RawMessage `json:"response"`
}

// Initialized is the body of the response to an initialize request.
type Initialized struct {
	Models []Model `json:"models"`
}

// Model is one that the CLI offers.
type Model struct {
	Value       string `json:"value"`
	Resolved    string `json:"resolvedModel"`
	DisplayName string `json:"displayName"`
}

// head is what all lines have in common.
type head struct {
	Type    string  `json:"type"`
	Subtype string  `json:"subtype"`
	Parent  *string `json:"parent_tool_use_id"`
	ID      string  `json:"uuid"`
}

// Parse reads one line. The order of keys means nothing, unknown types yield a
// Line with nothing but its type, and a line that is no JSON object ErrForeign.
func Parse(data []byte) (*Line, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' {
		return nil, ErrForeign
	}
	var h head
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForeign, err)
	}
	l := &Line{Type: h.Type, Subtype: h.Subtype, ID: h.ID}
	if h.Parent != nil {
		l.Parent = *h.Parent
	}
	if err := l.read(data); err != nil {
		return nil, fmt.Errorf("reading a line of type %q: %w", h.Type, err)
	}
	return l, nil
}

func (l *Line) read(data []byte) error {
	switch l.Type {
	case TypeStreamEvent:
		var v struct {
			Event *Event `json:"event"`
		}
		err := json.Unmarshal(data, &v)
		l.Event = v.Event
		return orMissing(err, v.Event == nil)
	case TypeAssistant, TypeUser:
		var v struct {
			Message *Message        `json:"message"`
			Error   json.RawMessage `json:"error"`
		}
		err := json.Unmarshal(data, &v)
		l.Message, l.Failure = v.Message, word(v.Error)
		return orMissing(err, v.Message == nil)
	case TypeResult:
		l.Result = &Result{}
		return json.Unmarshal(data, l.Result)
	case TypeSystem:
		if l.Subtype != SubtypeRetry {
			return nil
		}
		var v struct {
			Retry
			Error json.RawMessage `json:"error"`
		}
		err := json.Unmarshal(data, &v)
		l.Retry, l.Failure = &v.Retry, word(v.Error)
		return err
	case TypeControlRequest:
		var v struct {
			ID      string          `json:"request_id"`
			Request *ControlRequest `json:"request"`
		}
		if err := orMissing(json.Unmarshal(data, &v), v.Request == nil); err != nil {
			return err
		}
		l.Request = v.Request
		l.Request.ID = v.ID
	case TypeControlResponse:
		var v struct {
			Response *ControlResponse `json:"response"`
		}
		err := json.Unmarshal(data, &v)
		l.Response = v.Response
		return orMissing(err, v.Response == nil)
	}
	return nil
}

func orMissing(err error, missing bool) error {
	if err == nil && missing {
		return errors.New("it has no content")
	}
	return err
}

// word reads a JSON string; anything else is no word.
func word(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // not a string: no word
	return s
}

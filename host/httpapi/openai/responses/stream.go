package responses

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/openai"
	"github.com/clinvk/clinvk/host/httpapi/wire"
	"github.com/clinvk/clinvk/host/store"
)

// maxKept bounds the answer that a stream keeps for its last event, in bytes; plain
// answers are bounded by the engine, at less.
const maxKept = 16 << 20

// encoder writes a response as events and builds its record from the same state, so
// that they cannot differ. It implements httpapi.Encoder.
type encoder struct {
	record *store.Response
	kept   bool // the response can be fetched and continued
	tools  toolSet
	// encrypted says that reasoning is given out with its signature.
	encrypted bool
	// ended is called once, when the record is final and before its last event; may be nil.
	ended func(*store.Response)

	sequence int64
	items    int // in record.Output
	open     *openItem
	over     bool
}

// openItem is the item that is being written.
type openItem struct {
	id        string
	kind      itemKind
	block     int
	call      engine.ToolCall // kind itemCall
	tool      clientTool
	text      strings.Builder // also the arguments of a call
	signature []byte
	redacted  bool
	part      bool // its summary has begun
}

type itemKind int

const (
	itemMessage itemKind = iota
	itemReasoning
	itemCall
)

func newEncoder(q *request, record *store.Response, kept bool) *encoder {
	return &encoder{record: record, kept: kept, tools: q.tools, encrypted: q.encrypted}
}

// ContentType is that of server-sent events.
func (*encoder) ContentType() string { return "text/event-stream" }

// Heartbeat appends a comment.
func (*encoder) Heartbeat(b []byte) []byte { return append(b, ": keep-alive\n\n"...) }

// Begin tells the response as it begins.
func (e *encoder) Begin(b []byte) []byte {
	if e.record.Status == statusQueued {
		return e.whole(e.whole(b, "response.created"), "response.queued")
	}
	return e.started(e.whole(b, "response.created"))
}

// started says that the backend is at work.
func (e *encoder) started(b []byte) []byte {
	e.record.Status = statusInProgress
	return e.whole(b, "response.in_progress")
}

// event begins an event; close ends it.
func (e *encoder) event(b []byte, kind string) []byte {
	b = append(append(append(append(b, "event: "...), kind...), "\ndata: {\"type\":\""...), kind...)
	b = wire.AppendInt(b, `","sequence_number":`, e.sequence)
	e.sequence++
	return b
}

func closeEvent(b []byte) []byte { return append(b, "}\n\n"...) }

// whole is an event with the response object.
func (e *encoder) whole(b []byte, kind string) []byte {
	return closeEvent(appendObject(append(e.event(b, kind), `,"response":`...), e.record, e.kept))
}

// about begins an event about the open item; index is the rest of its address.
func (e *encoder) about(b []byte, kind, index string) []byte {
	b = wire.AppendString(append(e.event(b, kind), `,"item_id":`...), e.open.id)
	return append(wire.AppendInt(b, `,"output_index":`, int64(e.items)), index...)
}

// Addresses within an item.
const (
	contentIndex = `,"content_index":0`
	summaryIndex = `,"summary_index":0`
)

// Event appends the events of one event.
func (e *encoder) Event(b []byte, ev engine.Event) []byte {
	if e.over {
		return b
	}
	switch v := ev.(type) {
	case *engine.TextDelta:
		b = e.text(b, v)
	case *engine.ReasoningDelta:
		b = e.reasoning(b, v)
	case *engine.ToolCallStarted:
		if v.Client {
			b = e.begin(b, itemCall, v.Block, v)
		}
	case *engine.ToolCallDelta:
		if v.Client {
			b = e.arguments(b, v.Arguments)
		}
	case *engine.ToolCallDone:
		if v.Client {
			b = e.callDone(b, v)
		}
	case *engine.Completed:
		return e.completed(b, v)
	}
	if e.size() > maxKept {
		b = e.Fail(b, engine.Errorf(engine.CodeCLIFailure, "the answer is larger than %d MiB", maxKept>>20))
	}
	return b
}

func (e *encoder) size() int {
	n := len(e.record.Output)
	if e.open != nil {
		n += e.open.text.Len()
	}
	return n
}

func (e *encoder) text(b []byte, v *engine.TextDelta) []byte {
	if e.open == nil || e.open.kind != itemMessage || e.open.block != v.Block {
		b = e.begin(b, itemMessage, v.Block, nil)
	}
	e.open.text.WriteString(v.Text)
	b = wire.AppendString(append(e.about(b, "response.output_text.delta", contentIndex), `,"delta":`...), v.Text)
	return closeEvent(append(b, `,"logprobs":[]`...))
}

// reasoning shows text; what has none is of use only to those who give it back.
func (e *encoder) reasoning(b []byte, v *engine.ReasoningDelta) []byte {
	text := v.Text
	if v.Redacted {
		text = ""
	}
	if text == "" && !e.encrypted {
		return b
	}
	if e.open == nil || e.open.kind != itemReasoning || e.open.block != v.Block {
		b = e.begin(b, itemReasoning, v.Block, nil)
	}
	e.open.signature = append(e.open.signature, v.Signature...)
	e.open.redacted = e.open.redacted || v.Redacted
	if text == "" {
		return b
	}
	if !e.open.part {
		e.open.part = true
		b = append(e.about(b, "response.reasoning_summary_part.added", summaryIndex), `,"part":`...)
		b = closeEvent(appendSummary(b, ""))
	}
	e.open.text.WriteString(text)
	b = append(e.about(b, "response.reasoning_summary_text.delta", summaryIndex), `,"delta":`...)
	return closeEvent(wire.AppendString(b, text))
}

// begin closes the open item and opens another.
func (e *encoder) begin(b []byte, kind itemKind, block int, call *engine.ToolCallStarted) []byte {
	b = e.close(b, statusCompleted)
	prefix := [...]string{itemMessage: "msg_", itemReasoning: "rs_", itemCall: "fc_"}[kind]
	o := &openItem{kind: kind, block: block}
	if call != nil {
		o.call = engine.ToolCall{ID: call.ID, Name: call.Name}
		o.tool = clientTool{name: call.Name}
		if tool, ok := e.tools[call.Name]; ok {
			o.tool = tool
		}
		if o.tool.custom {
			prefix = "ctc_"
		}
	}
	o.id = string(wire.AppendInt([]byte(prefix+strings.TrimPrefix(e.record.ID, idPrefix)), "_", int64(e.items)))
	e.open = o
	b = wire.AppendInt(e.event(b, "response.output_item.added"), `,"output_index":`, int64(e.items))
	b = closeEvent(o.append(append(b, `,"item":`...), statusInProgress, e.encrypted))
	if kind == itemMessage {
		b = append(e.about(b, "response.content_part.added", contentIndex), `,"part":`...)
		b = closeEvent(appendText(b, ""))
	}
	return b
}

func (e *encoder) arguments(b []byte, piece string) []byte {
	e.open.text.WriteString(piece)
	if e.open.tool.custom || piece == "" { // its text is known when its argument is whole
		return b
	}
	b = append(e.about(b, "response.function_call_arguments.delta", ""), `,"delta":`...)
	return closeEvent(wire.AppendString(b, piece))
}

func (e *encoder) callDone(b []byte, v *engine.ToolCallDone) []byte {
	if whole := openai.Arguments(v.Arguments); e.open.text.Len() == 0 {
		b = e.arguments(b, whole)
	}
	return e.close(b, statusCompleted)
}

// close ends the open item, if there is one.
func (e *encoder) close(b []byte, status string) []byte {
	o := e.open
	if o == nil {
		return b
	}
	text := o.text.String()
	switch {
	case o.kind == itemMessage:
		b = wire.AppendString(append(e.about(b, "response.output_text.done", contentIndex), `,"text":`...), text)
		b = closeEvent(append(b, `,"logprobs":[]`...))
		b = append(e.about(b, "response.content_part.done", contentIndex), `,"part":`...)
		b = closeEvent(appendText(b, text))
	case o.kind == itemReasoning && o.part:
		b = append(e.about(b, "response.reasoning_summary_text.done", summaryIndex), `,"text":`...)
		b = closeEvent(wire.AppendString(b, text))
		b = append(e.about(b, "response.reasoning_summary_part.done", summaryIndex), `,"part":`...)
		b = closeEvent(appendSummary(b, text))
	case o.kind == itemCall && o.tool.custom:
		input := freeText(text)
		b = append(e.about(b, "response.custom_tool_call_input.delta", ""), `,"delta":`...)
		b = closeEvent(wire.AppendString(b, input))
		b = append(e.about(b, "response.custom_tool_call_input.done", ""), `,"input":`...)
		b = closeEvent(wire.AppendString(b, input))
	case o.kind == itemCall:
		b = wire.AppendString(append(e.about(b, "response.function_call_arguments.done", ""), `,"name":`...), o.tool.name)
		b = closeEvent(wire.AppendString(append(b, `,"arguments":`...), text))
	}
	item := o.append(nil, status, e.encrypted)
	b = wire.AppendInt(e.event(b, "response.output_item.done"), `,"output_index":`, int64(e.items))
	b = closeEvent(append(append(b, `,"item":`...), item...))
	e.keep(item)
	return b
}

// keep adds an item to the record.
func (e *encoder) keep(item []byte) {
	out := e.record.Output[:len(e.record.Output)-1] // without the bracket
	if e.items > 0 {
		out = append(out, ',')
	}
	e.record.Output = append(append(out, item...), ']')
	e.items++
	e.open = nil
}

func (e *encoder) completed(b []byte, v *engine.Completed) []byte {
	kind, status := "response.completed", statusCompleted
	switch v.Reason {
	case engine.FinishLength, engine.FinishInterrupted: // the answer was cut in both cases
		e.record.Incomplete = json.RawMessage(`{"reason":"max_output_tokens"}`)
	case engine.FinishContentFilter:
		e.record.Incomplete = json.RawMessage(`{"reason":"content_filter"}`)
	case engine.FinishStop, engine.FinishStopSequence, engine.FinishToolCalls:
	}
	if e.record.Incomplete != nil {
		kind, status = "response.incomplete", statusIncomplete
	}
	b = e.close(b, status) // what was being written when the answer was cut is not whole
	e.record.Usage = usageObject(v.Usage)
	e.end(status)
	return e.whole(b, kind)
}

// Fail appends a failure.
func (e *encoder) Fail(b []byte, err *engine.Error) []byte {
	if e.over {
		return b
	}
	_, code, message := openai.ErrorWords(err)
	return e.fail(b, code, message)
}

func (e *encoder) fail(b []byte, code, message string) []byte {
	e.record.Error = errorObject(code, message)
	e.cut(statusFailed)
	return e.whole(b, "response.failed")
}

// cut ends the response early; what there is of the open item is kept.
func (e *encoder) cut(status string) {
	if e.open != nil {
		e.keep(e.open.append(nil, statusIncomplete, e.encrypted))
	}
	e.end(status)
}

func (e *encoder) end(status string) {
	e.over = true
	e.record.Status, e.record.Lease = status, time.Time{}
	e.record.Completed = time.Now().Truncate(time.Second)
	if e.ended != nil {
		e.ended(e.record)
	}
}

package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/host/engine/clip"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// normalizer turns a plugin's events into the engine's and keeps the promises of
// Event, whatever the plugin does.
type normalizer struct {
	sequence uint64
	started  bool
	block    int
	kind     byte   // of the current block: 't' text, 'r' reasoning, 0 none
	wire     uint32 // the plugin's number of the current block
	usage    Usage
	calls    map[string]*openCall
	held     int                          // bytes that these calls keep
	clients  int                          // calls of the client's tools so far
	order    []string                     // ids of open client calls; only the first one's events go out
	later    []*backendv1.ExecuteResponse // text and reasoning that came within a client call
	said     bool                         // text was sent
	acted    bool                         // the backend ran a tool since
	queue    []Event
}

// openCall is a call whose arguments are still coming.
type openCall struct {
	name      string
	arguments strings.Builder
	client    bool
	pending   []Event // while another call is open
	held      int     // bytes
	done      bool
}

var errBreach = errors.New("the plugin broke the contract")

// errContract is a plugin that does not keep the contract.
func errContract(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBreach}, args...)...)
}

// add takes one event in; what it means is in the queue. Completed is among it;
// a failure is returned.
func (n *normalizer) add(backend string, r *backendv1.ExecuteResponse) (failure *Error, err error) {
	n.sequence++
	if r.GetSequence() != n.sequence {
		return nil, errContract("event %d has sequence %d", n.sequence, r.GetSequence())
	}
	if f := r.GetFailed(); f != nil {
		return errorFromProto(backend, f), nil
	}
	if s := r.GetStarted(); s != nil {
		if !n.started {
			n.started = true
			n.push(&Started{Model: s.GetModel(), Live: s.GetLive()})
		}
		return nil, nil
	}
	if !n.started {
		n.started = true
		n.push(&Started{})
	}
	switch v := r.GetEvent().(type) {
	case *backendv1.ExecuteResponse_TextDelta, *backendv1.ExecuteResponse_ReasoningDelta:
		return nil, n.content(r)
	case *backendv1.ExecuteResponse_ToolCallStarted:
		return nil, n.callStarted(v.ToolCallStarted.GetId(), v.ToolCallStarted.GetName(), v.ToolCallStarted.GetOrigin())
	case *backendv1.ExecuteResponse_ToolCallDelta:
		return nil, n.callDelta(v.ToolCallDelta)
	case *backendv1.ExecuteResponse_ToolCall:
		return nil, n.callDone(v.ToolCall)
	case *backendv1.ExecuteResponse_ToolResult:
		n.endBlock()
		n.push(&ToolResultEvent{ToolResult{
			CallID: v.ToolResult.GetCallId(), Name: v.ToolResult.GetName(),
			Parts: resultPartsFromProto(v.ToolResult.GetParts()), IsError: v.ToolResult.GetIsError(),
		}})
	case *backendv1.ExecuteResponse_Usage:
		n.usage = usageFromProto(v.Usage)
		n.push(&UsageEvent{n.usage})
	case *backendv1.ExecuteResponse_Notice:
		n.push(&Notice{Message: clip.Text(v.Notice.GetMessage())})
	case *backendv1.ExecuteResponse_Completed:
		return nil, n.completed(v.Completed)
	default: // an event of a later revision: ignored
	}
	return nil, nil
}

func (n *normalizer) push(e Event) { n.queue = append(n.queue, e) }

// pop takes the next event out; nil when there is none.
func (n *normalizer) pop() Event {
	if len(n.queue) == 0 {
		return nil
	}
	e := n.queue[0]
	n.queue[0] = nil
	n.queue = n.queue[1:]
	if len(n.queue) == 0 {
		n.queue = nil
	}
	return e
}

// open makes (kind, wire number) the current block and returns its number.
func (n *normalizer) open(kind byte, wire uint32) int {
	if n.kind != kind || n.wire != wire {
		n.endBlock()
		n.kind, n.wire = kind, wire
	}
	return n.block
}

func (n *normalizer) endBlock() {
	if n.kind != 0 {
		n.kind = 0
		n.block++
	}
}

// content takes text or reasoning in. What comes while a call of the client's tools is
// open waits for its end: blocks never overlap.
func (n *normalizer) content(r *backendv1.ExecuteResponse) error {
	if len(n.order) == 0 {
		n.text(r.GetTextDelta())
		n.reasoning(r.GetReasoningDelta())
		return nil
	}
	n.later = append(n.later, r)
	return n.keep(contentSize(r))
}

func contentSize(r *backendv1.ExecuteResponse) int {
	d := r.GetReasoningDelta()
	return partSize + len(r.GetTextDelta().GetText()) + len(d.GetText()) + len(d.GetSignature())
}

func (n *normalizer) text(d *backendv1.TextDelta) {
	if d.GetText() == "" {
		return
	}
	text := d.GetText()
	if n.said && n.acted {
		text = "\n\n" + text // what was said before and after a tool ran is not one sentence
	}
	n.said, n.acted = true, false
	for block := n.open('t', d.GetBlock()); text != ""; {
		var first string
		first, text = piece(text)
		n.push(&TextDelta{Block: block, Text: first})
	}
}

func (n *normalizer) reasoning(d *backendv1.ReasoningDelta) {
	if d.GetText() == "" && len(d.GetSignature()) == 0 {
		return
	}
	if d.GetRedacted() {
		n.endBlock()
	}
	block := n.open('r', d.GetBlock())
	first, rest := piece(d.GetText())
	for ; rest != ""; first, rest = piece(rest) {
		n.push(&ReasoningDelta{Block: block, Text: first, Redacted: d.GetRedacted()})
	}
	n.push(&ReasoningDelta{Block: block, Text: first, Signature: d.GetSignature(), Redacted: d.GetRedacted()})
	if len(d.GetSignature()) > 0 {
		n.endBlock()
	}
}

func (n *normalizer) callStarted(id, name string, origin backendv1.ToolOrigin) error {
	client := origin == backendv1.ToolOrigin_TOOL_ORIGIN_CLIENT
	if client {
		n.clients++
	}
	switch {
	case n.calls[id] != nil:
		return errContract("the call %q was started twice", clip.Text(id))
	case len(n.calls) >= maxCalls, n.clients > maxCalls:
		return errContract("there are more than %d calls", maxCalls)
	}
	if n.calls == nil {
		n.calls = map[string]*openCall{}
	}
	n.calls[id] = &openCall{name: name, client: client}
	if client {
		n.order = append(n.order, id)
	} else {
		n.acted = true
	}
	started := &ToolCallStarted{ID: id, Name: name, Client: client}
	n.pushCall(id, started)
	if n.calls[id].pending == nil {
		n.number(started)
	}
	return n.hold(id, len(id)+len(name)+partSize)
}

// number gives a call that goes out a block of its own.
func (n *normalizer) number(e *ToolCallStarted) {
	n.endBlock()
	e.Block = n.block
	n.block++
}

// hold counts what a call keeps until it is over.
func (n *normalizer) hold(id string, bytes int) error {
	n.calls[id].held += bytes
	return n.keep(bytes)
}

// keep bounds what open calls, and what waits for their end, hold in memory.
func (n *normalizer) keep(bytes int) error {
	if n.held += bytes; n.held > maxArguments {
		return errContract("the arguments of its calls are larger than %d MiB", maxArguments>>20)
	}
	return nil
}

// drop forgets a call.
func (n *normalizer) drop(id string) {
	n.held -= n.calls[id].held
	delete(n.calls, id)
}

// pushCall sends an event of a call when it is the call's turn: those of two calls
// of the client's tools never mix.
func (n *normalizer) pushCall(id string, e Event) {
	c := n.calls[id]
	if c.client && n.order[0] != id {
		c.pending = append(c.pending, e)
		return
	}
	n.push(e)
}

// closeCall ends a call and lets those go out that waited for it.
func (n *normalizer) closeCall(id string) {
	c := n.calls[id]
	c.done = true
	if !c.client {
		n.drop(id)
		return
	}
	for len(n.order) > 0 && n.calls[n.order[0]].done {
		n.drop(n.order[0])
		n.order = n.order[1:]
		if len(n.order) > 0 {
			next := n.calls[n.order[0]]
			for _, e := range next.pending {
				if started, ok := e.(*ToolCallStarted); ok {
					n.number(started)
				}
				n.push(e)
			}
			next.pending = nil
		}
	}
	if len(n.order) > 0 {
		return
	}
	for _, r := range n.later {
		n.held -= contentSize(r)
		n.text(r.GetTextDelta())
		n.reasoning(r.GetReasoningDelta())
	}
	n.later = nil
}

func (n *normalizer) callDelta(d *backendv1.ToolCallDelta) error {
	c := n.calls[d.GetId()]
	if c == nil || c.done {
		return errContract("arguments for the call %q that was not started", clip.Text(d.GetId()))
	}
	if d.GetArgumentsJson() == "" {
		return nil
	}
	c.arguments.WriteString(d.GetArgumentsJson())
	n.pushArguments(d.GetId(), d.GetArgumentsJson())
	kept := len(d.GetArgumentsJson())
	if c.pending != nil {
		kept += partSize
	}
	return n.hold(d.GetId(), kept)
}

// pushArguments sends arguments on, in pieces.
func (n *normalizer) pushArguments(id, arguments string) {
	for arguments != "" {
		var first string
		first, arguments = piece(arguments)
		n.pushCall(id, &ToolCallDelta{ID: id, Arguments: first, Client: n.calls[id].client})
	}
}

// callDone completes a call; pieces that were not sent are made up for.
func (n *normalizer) callDone(p *backendv1.ToolCall) error {
	if n.calls[p.GetId()] == nil {
		if err := n.callStarted(p.GetId(), p.GetName(), p.GetOrigin()); err != nil {
			return err
		}
	}
	c := n.calls[p.GetId()]
	switch {
	case c.done:
		return errContract("the call %q was completed twice", clip.Text(p.GetId()))
	case c.arguments.Len() == 0:
		n.pushArguments(p.GetId(), p.GetArgumentsJson())
		if !c.client { // nothing of it is kept: it is over in this very event
			break
		}
		if err := n.hold(p.GetId(), len(p.GetArgumentsJson())); err != nil {
			return err
		}
	case c.arguments.String() != p.GetArgumentsJson():
		return errContract("the pieces of the call %q do not add up to its arguments", clip.Text(p.GetId()))
	}
	n.pushCall(p.GetId(), &ToolCallDone{ToolCall: ToolCall{ID: p.GetId(), Name: c.name, Arguments: p.GetArgumentsJson()}, Client: c.client})
	n.closeCall(p.GetId())
	return nil
}

func (n *normalizer) completed(p *backendv1.Completed) error {
	for id, c := range n.calls {
		if c.client {
			return errContract("the call %q was not completed", clip.Text(id))
		}
	}
	if p.GetUsage() != nil {
		n.usage = usageFromProto(p.GetUsage())
	}
	reason := FinishReason(p.GetFinishReason())
	if reason < FinishStop || reason > FinishInterrupted {
		reason = FinishStop
	}
	n.push(&Completed{Reason: reason, StopSequence: p.GetStopSequence(), Usage: n.usage, Model: p.GetModel(), SessionToken: p.GetSessionToken()})
	return nil
}

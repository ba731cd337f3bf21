package main

import (
	"encoding/json"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// event passes on one event of the API; done says that the turn ends with it.
func (a *answer) event(e *wire.Event) (done bool, err error) {
	switch e.Type {
	case "message_start":
		return false, a.begin(e.Message.ID, e.Message.Model, e.Message.Usage)
	case "content_block_start":
		return false, a.openBlock(e.Index, e.ContentBlock)
	case "content_block_delta":
		return false, a.delta(e)
	case "content_block_stop":
		return false, a.closeBlock(e.Index)
	case "message_delta":
		a.tally.update(e.Usage)
		if e.Delta.StopReason == "" {
			return false, nil
		}
		a.stop, a.said = e.Delta.StopReason, false
		over := a.endsHere()
		if over {
			// At once: in a few milliseconds it would ask the model again.
			a.helpers.Go(func() { a.p.proc.Kill() })
		}
		a.finish.StopSequence = e.Delta.StopSequence
		if err := a.out.Usage(a.tally.total()); err != nil {
			return false, err
		}
		return over, a.finished()
	}
	return false, nil
}

// endsHere says that the CLI would now go on by itself: after a cut-off answer or
// a refusal it asks the model to continue, after a call of the client's tools it
// reports an error to the model. In a chat that is not wanted.
func (a *answer) endsHere() bool {
	if a.turn.Mode == plugins.ModeAgent {
		return false
	}
	return a.stop != stopEnd && a.stop != stopSequence
}

func (a *answer) begin(id, model string, usage *wire.Usage) error {
	a.begun()
	a.streamed[id] = true
	a.stop, a.said = "", false
	a.finish.Model = model
	clear(a.open)
	a.tally.begin(usage)
	if err := a.out.Started(model, a.live); err != nil {
		return err
	}
	return a.out.Usage(a.tally.total())
}

func (a *answer) openBlock(index int, b wire.Block) error {
	a.open[index] = &openBlock{block: b}
	switch b.Type {
	case "text":
		return a.say(a.out.Text, b.Text)
	case "thinking":
		return a.say(a.out.Reasoning, b.Thinking)
	case "redacted_thinking":
		a.said = true
		return a.out.RedactedReasoning(sealed(a.finish.Model, b.Data))
	case "tool_use":
		a.said = true
		return a.out.ToolCallStarted(b.ID, b.Name, a.origin())
	}
	return nil
}

// say passes text on. What was received must not come again by a retry.
func (a *answer) say(emit func(string) error, text string) error {
	if text == "" {
		return nil
	}
	a.said = true
	return emit(text)
}

// origin says who runs the tools of this turn.
func (a *answer) origin() plugins.ToolOrigin {
	if a.turn.Mode == plugins.ModeAgent {
		return plugins.OriginBackend
	}
	return plugins.OriginClient
}

func (a *answer) delta(e *wire.Event) error {
	o := a.open[e.Index]
	if o == nil {
		return protocolError("a piece of content block %d, which was not begun", e.Index)
	}
	switch e.Delta.Type {
	case "text_delta":
		return a.say(a.out.Text, e.Delta.Text)
	case "thinking_delta":
		return a.say(a.out.Reasoning, e.Delta.Thinking)
	case "signature_delta":
		o.signature.WriteString(e.Delta.Signature)
	case "input_json_delta":
		if o.block.Type != "tool_use" || e.Delta.PartialJSON == "" {
			return nil // of a tool that the provider runs
		}
		o.arguments.WriteString(e.Delta.PartialJSON)
		return a.out.ToolCallDelta(o.block.ID, e.Delta.PartialJSON)
	}
	return nil
}

func (a *answer) closeBlock(index int) error {
	o := a.open[index]
	delete(a.open, index)
	if o == nil {
		return nil
	}
	switch o.block.Type {
	case "thinking":
		if o.signature.Len() > 0 {
			return a.out.ReasoningSignature(sealed(a.finish.Model, o.signature.String()))
		}
	case "tool_use":
		return a.out.ToolCall(a.call(o.block, o.arguments.String()))
	}
	return a.out.NextBlock()
}

// call is a finished call. Arguments that went out in pieces stay as they are, also
// when the answer was cut in the middle of them.
func (a *answer) call(b wire.Block, pieces string) plugins.ToolCall {
	arguments := pieces
	if pieces == "" {
		arguments = string(b.Input)
		if !json.Valid(b.Input) || strings.TrimSpace(arguments) == "null" {
			arguments = "{}" // a call without arguments comes without any piece
		}
	}
	return plugins.ToolCall{ID: b.ID, Name: b.Name, Arguments: arguments, Origin: a.origin()}
}

// message takes in a finished message. What came as events is known already; what
// the CLI wrote itself is about an error, and never an answer.
func (a *answer) message(line *wire.Line) error {
	m := line.Message
	if line.Failure != "" {
		a.failure = line.Failure
	}
	if line.Failure != "" || m.Model == wire.SyntheticModel {
		return nil
	}
	a.last = line.ID
	if a.streamed[m.ID] {
		return nil
	}
	if err := a.begin(m.ID, m.Model, m.Usage); err != nil {
		return err
	}
	for i, b := range m.Content {
		if err := a.openBlock(i, b); err != nil {
			return err
		}
		if b.Signature != "" {
			a.open[i].signature.WriteString(b.Signature)
		}
		if err := a.closeBlock(i); err != nil {
			return err
		}
	}
	return nil
}

// toolResults reports what the CLI's own tools yielded.
func (a *answer) toolResults(m *wire.Message) error {
	if a.turn.Mode != plugins.ModeAgent {
		return nil
	}
	for _, b := range m.Content {
		if b.Type != "tool_result" {
			continue
		}
		if err := a.closeCall(b.ToolUseID); err != nil {
			return err
		}
		r := plugins.ToolResult{CallID: b.ToolUseID, IsError: b.IsError}
		for _, c := range b.Content {
			switch c.Type {
			case "text":
				r.Parts = append(r.Parts, plugins.Text(c.Text))
			case "image", "document":
				r.Parts = append(r.Parts, plugins.Blob{MediaType: c.Source.MediaType, Data: c.Source.Data})
			}
		}
		if err := a.out.ToolResult(r); err != nil {
			return err
		}
	}
	return nil
}

// closeCall completes a call whose result comes before its block has ended, as it
// does when the tool is refused at once.
func (a *answer) closeCall(id string) error {
	for index, o := range a.open {
		if o.block.Type == "tool_use" && o.block.ID == id {
			return a.closeBlock(index)
		}
	}
	return nil
}

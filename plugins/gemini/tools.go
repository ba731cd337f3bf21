package main

import (
	"context"
	"errors"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/acp"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// toolLog reports what the agent's own tools do. The protocol tells a title and
// some output; name and arguments come from the record of the model's answers.
type toolLog struct {
	run   *turnRun
	calls map[string]wire.FunctionCall // known from the record, by id
	told  map[string]bool              // calls that were reported
	ended map[string]bool              // calls whose result was
	// pending are results of which the session file has the full text in a moment.
	pending []pendingResult
}

type pendingResult struct {
	call   plugins.ToolCall
	text   string // as the protocol has it
	failed bool
	tries  int
}

// The CLI writes a result to its session file right after it has reported it.
const (
	pollInterval = 20 * time.Millisecond
	pollTries    = 25
)

func (l *toolLog) init(t *turnRun) {
	*l = toolLog{run: t, calls: map[string]wire.FunctionCall{}, told: map[string]bool{}, ended: map[string]bool{}}
}

// call reports a call once, with what the model wrote if that is known.
func (l *toolLog) call(tool acp.ToolCall) (plugins.ToolCall, error) {
	if _, known := l.calls[tool.ID]; !known {
		l.read()
	}
	c := plugins.ToolCall{ID: tool.ID, Name: l.calls[tool.ID].Name, Arguments: string(l.calls[tool.ID].Args), Origin: plugins.OriginBackend}
	if c.Name == "" {
		c.Name = tool.Kind
	}
	if c.Arguments == "" {
		c.Arguments = "{}"
	}
	if l.told[tool.ID] {
		return c, nil
	}
	l.told[tool.ID] = true
	if err := l.run.out.ToolCallStarted(c.ID, c.Name, c.Origin); err != nil {
		return c, err
	}
	return c, l.run.out.ToolCall(c)
}

// read takes new calls from the record; it was written before any of them runs.
func (l *toolLog) read() {
	responses, err := l.run.session.Responses()
	if err != nil {
		return // the end of the turn reports it
	}
	for _, r := range responses {
		for _, c := range r.Calls {
			l.calls[c.ID] = c
		}
	}
}

// update reports a call or its result.
func (l *toolLog) update(u acp.Update) error {
	call, err := l.call(u.ToolCall)
	if err != nil || u.Kind == acp.UpdateTool {
		return err
	}
	switch u.Status {
	case "completed", "failed":
		l.pending = append(l.pending, pendingResult{call: call, text: u.ToolText(), failed: u.Status == "failed"})
		return l.settle(false)
	}
	return nil
}

// toldAll says that the calls in contents were all reported.
func (l *toolLog) toldAll(contents []wire.Content) bool {
	for _, c := range contents {
		for _, p := range c.Parts {
			if p.FunctionCall != nil && !l.told[p.FunctionCall.ID] {
				return false
			}
		}
	}
	return true
}

// settle reports the pending results whose text is there; last reports all.
func (l *toolLog) settle(last bool) error {
	if len(l.pending) == 0 {
		return nil
	}
	outputs := l.run.session.Outputs()
	for len(l.pending) > 0 {
		p := &l.pending[0]
		o, ok := outputs[p.call.ID]
		if p.tries++; !ok && !last && p.tries < pollTries {
			return nil
		}
		if ok {
			p.text, p.failed = o.Text, p.failed || o.Error
		}
		if err := l.result(p.call, p.text, p.failed); err != nil {
			return err
		}
		l.pending = l.pending[1:]
	}
	return nil
}

func (l *toolLog) result(call plugins.ToolCall, text string, failed bool) error {
	if l.ended[call.ID] {
		return nil
	}
	l.ended[call.ID] = true
	return l.run.out.ToolResult(plugins.ToolResult{
		CallID: call.ID, Name: call.Name, Parts: []plugins.Part{plugins.Text(text)}, IsError: failed,
	})
}

// permission answers the CLI's question about a call: by the mode, else by the
// client, and when nobody is there to ask with no.
func (l *toolLog) permission(ctx context.Context, m acp.Message) error {
	p, err := m.Permission()
	if err != nil {
		return &plugins.Error{Code: plugins.CodeCLIFailure, Message: err.Error(), Err: err}
	}
	call, err := l.call(p.ToolCall)
	if err != nil {
		return err
	}
	decision := plugins.Decision{Allow: l.run.turn.Approval == plugins.ApprovalNone}
	if !decision.Allow {
		decision, err = l.run.out.Approve(ctx, plugins.Approval{ID: call.ID, Call: call, Reason: p.ToolCall.Title})
		if err != nil && !errors.Is(err, plugins.ErrNobodyToAsk) {
			return err
		}
	}
	if option, ok := p.Option("allow_once"); ok && decision.Allow {
		return l.run.session.Answer(m, acp.Selected(option))
	}
	if err := l.result(call, "not permitted", true); err != nil { // the CLI tells only the model
		return err
	}
	option, ok := p.Option("reject_once")
	if !ok {
		return l.run.session.Answer(m, acp.PermissionReply{Outcome: acp.PermissionOutcome{Outcome: acp.StopCancelled}})
	}
	return l.run.session.Answer(m, acp.Selected(option))
}

// finish reports the calls about which the CLI said nothing: of tools that it does
// not have.
func (l *toolLog) finish(responses []wire.Response) error {
	if l.run.turn.Mode != plugins.ModeAgent {
		return nil
	}
	if err := l.settle(true); err != nil {
		return err
	}
	l.read()
	for _, r := range responses {
		for _, c := range r.Calls {
			if l.told[c.ID] {
				continue
			}
			call, err := l.call(acp.ToolCall{ID: c.ID})
			if err == nil {
				err = l.result(call, "there is no such tool", true)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

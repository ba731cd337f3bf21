package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// item is what the CLI calls one piece of a turn.
type item struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Text string `json:"text"`
	// Status is inProgress, completed, failed or declined.
	Status string `json:"status"`

	Command  string `json:"command"`
	Dir      string `json:"cwd"`
	Output   string `json:"aggregatedOutput"`
	ExitCode *int   `json:"exitCode"`

	Changes json.RawMessage `json:"changes"`

	Server    string          `json:"server"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Result    json.RawMessage `json:"result"`
	Error     json.RawMessage `json:"error"`

	Query string `json:"query"`
}

// call is the item as a call of a tool; ok is false when it is none.
func (i item) call() (call plugins.ToolCall, ok bool) {
	call = plugins.ToolCall{ID: i.ID, Origin: plugins.OriginBackend}
	var arguments any
	switch i.Type {
	case "commandExecution":
		call.Name, arguments = "shell", object{"command": i.Command, "cwd": i.Dir}
	case "fileChange":
		call.Name, arguments = "apply_patch", object{"changes": i.Changes}
	case "mcpToolCall":
		call.Name, arguments = i.Server+"__"+i.Tool, i.Arguments
	case "dynamicToolCall":
		call.Name, arguments = i.Tool, i.Arguments
	case "webSearch":
		call.Name, arguments = "web_search", object{"query": i.Query}
	default:
		return call, false
	}
	text, err := json.Marshal(arguments)
	if err != nil || string(text) == "null" {
		text = []byte("{}")
	}
	call.Arguments = string(text)
	return call, true
}

// outcome is the item's end as the result of its call.
func (i item) outcome(name string) plugins.ToolResult {
	text := i.Output
	for _, raw := range []json.RawMessage{i.Result, i.Error} {
		if len(raw) > 0 && string(raw) != "null" {
			text += string(raw)
		}
	}
	if text == "" && i.Status != "completed" {
		text = i.Status
	}
	return plugins.ToolResult{
		CallID: i.ID, Name: name, Parts: []plugins.Part{plugins.Text(text)},
		IsError: (i.Status != "" && i.Status != "completed") || (i.ExitCode != nil && *i.ExitCode != 0),
	}
}

// itemParams are the parameters of every item notification.
type itemParams struct {
	TurnID string `json:"turnId"`
	ItemID string `json:"itemId"`
	Delta  string `json:"delta"`
	Index  int    `json:"summaryIndex"`
	Item   item   `json:"item"`
}

// item reports a piece of the turn.
func (r *run) item(e appserver.Event) error {
	name, ok := strings.CutPrefix(e.Method, "item/")
	if !ok {
		return nil
	}
	var p itemParams
	if err := json.Unmarshal(e.Params, &p); err != nil {
		return fmt.Errorf("reading %s of the CLI: %w", e.Method, err)
	}
	if p.TurnID != r.turnID {
		return nil
	}
	switch name {
	case "agentMessage/delta":
		return r.text(p.ItemID, p.Delta)
	case "reasoning/summaryTextDelta", "reasoning/textDelta":
		return r.reasoning(p.Delta)
	case "reasoning/summaryPartAdded":
		if p.Index > 0 {
			return r.reasoning("\n\n")
		}
	case "started":
		return r.itemStarted(p.Item)
	case "completed":
		return r.itemCompleted(p.Item)
	}
	return nil
}

func (r *run) text(id, text string) error {
	if text == "" {
		return nil
	}
	r.waitFor.Stop()
	if err := r.begin(); err != nil {
		return err
	}
	if r.lastText != "" && r.lastText != id {
		if err := r.out.NextBlock(); err != nil {
			return err
		}
		r.unfinished.Reset()
	}
	r.lastText = id
	r.unfinished.WriteString(text)
	r.sent[id] += len(text)
	return r.out.Text(text)
}

func (r *run) reasoning(text string) error {
	r.waitFor.Stop()
	if err := r.begin(); err != nil {
		return err
	}
	return r.out.Reasoning(text)
}

func (r *run) itemStarted(i item) error {
	call, ok := i.call()
	if _, client := r.tools.names[i.Tool]; !ok || (client && i.Type == "dynamicToolCall") {
		return nil
	}
	r.called = true
	r.approvals.calls[i.ID] = call
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.out.ToolCallStarted(call.ID, call.Name, call.Origin); err != nil {
		return err
	}
	return r.out.ToolCall(call)
}

func (r *run) itemCompleted(i item) error {
	if i.Type == "agentMessage" {
		var err error
		if n := r.sent[i.ID]; n < len(i.Text) { // it came without deltas, or not all of them
			err = r.text(i.ID, i.Text[n:])
		}
		r.unfinished.Reset()
		return err
	}
	call, ok := r.approvals.calls[i.ID]
	if !ok {
		if call, ok = i.call(); !ok || i.Type == "dynamicToolCall" {
			return nil
		}
		if err := r.itemStarted(i); err != nil {
			return err
		}
	}
	delete(r.approvals.calls, i.ID)
	if err := r.out.ToolResult(i.outcome(call.Name)); err != nil {
		return err
	}
	return r.checkSteps(r.steps > 0 && !r.called)
}

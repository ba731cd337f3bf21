package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/clinvk/clinvk/test/fakeapi"
)

type object = map[string]any

// sink is one transport of the Responses API.
type sink interface {
	// begin is called before the first event.
	begin()
	// event writes one event; pieces are its JSON text, to be sent with a pause
	// between each two. False: the client has left.
	event(kind string, pieces [][]byte, pause func() bool) bool
	// fail answers with an HTTP status.
	fail(f failure)
	// cut drops the connection.
	cut()
}

// answer writes the answer to one request.
type answer struct {
	server  *Server
	script  fakeapi.Script
	request request
	out     sink
	ctx     context.Context // of the request
	number  int             // of the next event
	items   []any           // of the output so far
	sent    int             // text deltas and calls so far
}

// run answers and says whether it got to the answer's end.
func (a *answer) run() (complete bool) {
	script, err := fakeapi.ParseScript(a.request.prompt())
	if err != nil {
		a.out.fail(failure{status: http.StatusInternalServerError, message: "fake API: " + err.Error()})
		return true
	}
	if a.request.answersTool() { // the script is done: its tools were called
		script.Tools, script.Status = nil, 0
	}
	a.script = script
	if !a.sleep(script.First) {
		return false
	}
	switch {
	case a.server.Log.ShouldFail(script):
		a.out.fail(failure{
			status: script.Status, code: errorCodes[script.Status],
			message: ErrorMessage(script.Status), retryAfter: script.RetryAfter,
		})
		return true
	case !a.server.knows(a.request.Model):
		a.out.fail(failure{
			status: http.StatusNotFound, code: "model_not_found",
			message: fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", a.request.Model),
		})
		return true
	case script.Hang:
		<-a.ctx.Done()
		return false
	}
	return a.stream(a.server.id("resp"))
}

func (a *answer) response(id, status string) object {
	return object{
		"id": id, "object": "response", "created_at": time.Now().Unix(), "status": status, "model": a.request.Model,
		"output": a.items, "error": nil, "incomplete_details": nil, "usage": nil,
	}
}

func (a *answer) usage() object {
	reasoning := 0
	if len(a.script.Thoughts()) > 0 {
		reasoning = ReasoningTokens
	}
	out := OutputTokens(a.script)
	return object{
		"input_tokens":          InputTokens,
		"input_tokens_details":  object{"cached_tokens": CacheReadTokens, "cache_write_tokens": CacheWriteTokens},
		"output_tokens":         out,
		"output_tokens_details": object{"reasoning_tokens": reasoning},
		"total_tokens":          InputTokens + out,
	}
}

func (a *answer) stream(id string) bool {
	a.out.begin()
	a.items = []any{}
	steps := []func() bool{
		func() bool {
			return a.event("response.created", object{"response": a.response(id, "in_progress")}) &&
				a.event("response.in_progress", object{"response": a.response(id, "in_progress")})
		},
		a.thinking, a.text, a.tools,
		func() bool { return a.end(id) },
	}
	for _, step := range steps {
		if !step() {
			return false
		}
	}
	return true
}

// incompleteReasons are the API's words for the scripts' finishes.
var incompleteReasons = map[string]string{"length": "max_output_tokens", "filter": "content_filter"}

func (a *answer) end(id string) bool {
	reason := incompleteReasons[a.script.Finish]
	if reason == "" {
		r := a.response(id, "completed")
		r["usage"] = a.usage()
		if a.request.remember != nil {
			a.request.remember(id, a.items)
		}
		return a.event("response.completed", object{"response": r})
	}
	r := a.response(id, "incomplete")
	r["usage"], r["incomplete_details"] = a.usage(), object{"reason": reason}
	return a.event("response.incomplete", object{"response": r})
}

// prewarmed answers a request that generates nothing.
func (a *answer) prewarmed() bool {
	a.items = []any{}
	id := a.server.id("resp")
	return a.event("response.created", object{"response": a.response(id, "in_progress")}) && a.end(id)
}

func (a *answer) item(item object, inner func(index int) bool) bool {
	index := len(a.items)
	if !a.event("response.output_item.added", object{"output_index": index, "item": item}) || !inner(index) {
		return false
	}
	a.items = append(a.items, item)
	return a.event("response.output_item.done", object{"output_index": index, "item": item})
}

// Encrypted is the content of each reasoning item, for the model server alone.
const Encrypted = "ZW5jcnlwdGVk"

func (a *answer) thinking() bool {
	thoughts := a.script.Thoughts()
	if len(thoughts) == 0 {
		return true
	}
	id := a.server.id("rs")
	item := object{"id": id, "type": "reasoning", "summary": []any{}}
	return a.item(item, func(index int) bool {
		at := func(more object) object {
			more["item_id"], more["output_index"], more["summary_index"] = id, index, 0
			return more
		}
		ok := a.event("response.reasoning_summary_part.added", at(object{"part": object{"type": "summary_text", "text": ""}}))
		full := ""
		for _, text := range thoughts {
			full += text
			ok = ok && a.sleep(a.script.Gap) && a.event("response.reasoning_summary_text.delta", at(object{"delta": text}))
		}
		item["summary"] = []any{object{"type": "summary_text", "text": full}}
		item["encrypted_content"] = Encrypted
		return ok && a.event("response.reasoning_summary_text.done", at(object{"text": full}))
	})
}

func (a *answer) text() bool {
	deltas := a.script.Deltas()
	if !a.interrupted() {
		return false
	}
	if len(deltas) == 0 {
		return true
	}
	id := a.server.id("msg")
	item := object{"id": id, "type": "message", "status": "in_progress", "role": "assistant", "content": []any{}}
	return a.item(item, func(index int) bool {
		for i, text := range deltas {
			if i > 0 && !a.sleep(a.script.Gap) {
				return false
			}
			if !a.event("response.output_text.delta", object{
				"item_id": id, "output_index": index, "content_index": 0, "delta": text, "logprobs": []any{},
			}) {
				return false
			}
			a.sent++
			if !a.interrupted() {
				return false
			}
		}
		item["status"] = "completed"
		item["content"] = []any{object{"type": "output_text", "text": a.script.Answer(), "annotations": []any{}}}
		return true
	})
}

// interrupted breaks off where the script says so; false ends the answer.
func (a *answer) interrupted() bool {
	if a.script.HangAt == a.sent {
		<-a.ctx.Done()
		return false
	}
	if a.script.Cut == a.sent {
		a.out.cut()
		return false
	}
	return true
}

func (a *answer) tools() bool {
	for i, t := range a.script.Tools {
		if i > 0 && !a.sleep(a.script.Gap) {
			return false
		}
		id := a.server.id("fc")
		item := object{
			"id": id, "type": "function_call", "status": "in_progress", "call_id": a.server.id("call"),
			"name": t.Name, "arguments": "",
		}
		if ns := a.request.namespace(t.Name); ns != "" {
			item["namespace"] = ns
		}
		arguments := func(index int) bool {
			return a.event("response.function_call_arguments.delta", object{"item_id": id, "output_index": index, "delta": t.Arguments})
		}
		if a.cutCall(t) {
			index := len(a.items)
			return a.event("response.output_item.added", object{"output_index": index, "item": item}) && arguments(index)
		}
		ok := a.item(item, func(index int) bool {
			item["status"], item["arguments"] = "completed", t.Arguments
			return arguments(index)
		})
		a.sent++
		if !ok || !a.interrupted() {
			return false
		}
	}
	return true
}

// cutCall says that the answer ends within a call: it is incomplete, and so are the
// call's arguments.
func (a *answer) cutCall(t fakeapi.ToolCall) bool {
	return incompleteReasons[a.script.Finish] != "" && !json.Valid([]byte(t.Arguments))
}

// event sends one event; false when the client has left.
func (a *answer) event(kind string, v object) bool {
	if a.ctx.Err() != nil {
		return false
	}
	v["type"], v["sequence_number"] = kind, a.number
	a.number++
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return false
	}
	text := bytes.TrimSuffix(data.Bytes(), []byte("\n"))
	pieces := [][]byte{text}
	if a.script.Split {
		pieces = insideCodePoints(text)
	}
	return a.out.event(kind, pieces, func() bool { return a.sleep(max(a.script.Gap, time.Millisecond)) })
}

// insideCodePoints cuts text in the middle of each code point of several bytes.
func insideCodePoints(text []byte) [][]byte {
	var pieces [][]byte
	from := 0
	for i := range text {
		if !utf8.RuneStart(text[i]) {
			pieces = append(pieces, text[from:i])
			from = i
		}
	}
	return append(pieces, text[from:])
}

// sleep waits; false when the client has left first.
func (a *answer) sleep(d time.Duration) bool {
	if d <= 0 {
		return a.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.ctx.Done():
		return false
	}
}

package anthropic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// answer writes the answer to one request.
type answer struct {
	server  *Server
	script  fakeapi.Script
	request request
	w       http.ResponseWriter
	ctx     context.Context // of the request
	index   int             // of the next content block
	sent    int             // text deltas so far
}

type object = map[string]any

// run answers and says whether it got to the answer's end.
func (a *answer) run() (complete bool) {
	s := a.script
	if !a.sleep(s.First) {
		return false
	}
	if a.server.Log.ShouldFail(s) {
		a.server.scripted(a.w, s)
		return true
	}
	if s.Hang {
		<-a.ctx.Done()
		return false
	}
	id := a.server.id("msg")
	a.w.Header().Set("Request-Id", "req_"+id)
	if !a.request.Stream {
		a.whole(id)
		return true
	}
	a.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	a.w.Header().Set("Cache-Control", "no-cache")
	return a.stream(id)
}

func (a *answer) usage(output int) object {
	u := object{
		"input_tokens": InputTokens, "cache_creation_input_tokens": CacheWriteTokens,
		"cache_read_input_tokens": CacheReadTokens, "output_tokens": output, "service_tier": "standard",
	}
	if len(a.script.Thoughts()) > 0 && output > 1 {
		u["output_tokens_details"] = object{"thinking_tokens": ReasoningTokens}
	}
	return u
}

func (a *answer) whole(id string) {
	content := []any{object{"type": "text", "text": a.script.Answer()}}
	for _, t := range a.script.Tools {
		content = append(content, object{"type": "tool_use", "id": a.server.id("toolu"), "name": t.Name, "input": json.RawMessage(t.Arguments)})
	}
	writeJSON(a.w, http.StatusOK, object{
		"id": id, "type": "message", "role": "assistant", "model": a.request.Model, "content": content,
		"stop_reason": stopReason(a.script), "stop_sequence": nil, "usage": a.usage(OutputTokens(a.script)),
	})
}

func (a *answer) stream(id string) bool {
	steps := []func() bool{
		func() bool {
			return a.event(object{"type": "message_start", "message": object{
				"id": id, "type": "message", "role": "assistant", "model": a.request.Model, "content": []any{},
				"stop_reason": nil, "stop_sequence": nil, "usage": a.usage(1),
			}}) && a.event(object{"type": "ping"})
		},
		a.thinking, a.text, a.tools,
		func() bool {
			return a.event(object{
				"type": "message_delta", "delta": object{"stop_reason": stopReason(a.script), "stop_sequence": nil},
				"usage": a.usage(OutputTokens(a.script)),
			}) && a.event(object{"type": "message_stop"})
		},
	}
	for _, step := range steps {
		if !step() {
			return false
		}
	}
	return true
}

func (a *answer) open(block object) bool {
	return a.event(object{"type": "content_block_start", "index": a.index, "content_block": block})
}

func (a *answer) delta(delta object) bool {
	return a.event(object{"type": "content_block_delta", "index": a.index, "delta": delta})
}

func (a *answer) stop() bool {
	ok := a.event(object{"type": "content_block_stop", "index": a.index})
	a.index++
	return ok
}

// Signature ends each block of reasoning, RedactedData is a hidden one.
const (
	Signature    = "c2lnbmF0dXJl"
	RedactedData = "aGlkZGVuIHRob3VnaHRz"
)

func (a *answer) thinking() bool {
	if a.script.Redacted && (!a.open(object{"type": "redacted_thinking", "data": RedactedData}) || !a.stop()) {
		return false
	}
	thoughts := a.script.Thoughts()
	if len(thoughts) == 0 {
		return true
	}
	ok := a.open(object{"type": "thinking", "thinking": "", "signature": ""})
	for _, text := range thoughts {
		ok = ok && a.sleep(a.script.Gap) && a.delta(object{"type": "thinking_delta", "thinking": text})
	}
	return ok && a.delta(object{"type": "signature_delta", "signature": Signature}) && a.stop()
}

func (a *answer) text() bool {
	deltas := a.script.Deltas()
	if !a.interrupted() {
		return false
	}
	if len(deltas) == 0 {
		return true
	}
	ok := a.open(object{"type": "text", "text": ""})
	for i, text := range deltas {
		if i > 0 {
			ok = ok && a.sleep(a.script.Gap)
		}
		ok = ok && a.delta(object{"type": "text_delta", "text": text})
		a.sent++
		ok = ok && a.interrupted()
	}
	return ok && a.stop()
}

// interrupted breaks off where the script says so; false ends the answer.
func (a *answer) interrupted() bool {
	if a.script.HangAt == a.sent {
		<-a.ctx.Done()
		return false
	}
	if a.script.Cut == a.sent {
		panic(http.ErrAbortHandler) // net/http then drops the connection
	}
	return true
}

func (a *answer) tools() bool {
	for _, t := range a.script.Tools {
		ok := a.open(object{"type": "tool_use", "id": a.server.id("toolu"), "name": t.Name, "input": object{}})
		for i, piece := range a.argumentPieces(t.Arguments) {
			if i > 0 {
				ok = ok && a.sleep(a.script.Gap)
			}
			ok = ok && a.delta(object{"type": "input_json_delta", "partial_json": piece})
		}
		if !ok || !a.stop() {
			return false
		}
	}
	return true
}

// argumentPieces are thirds, or code points.
func (a *answer) argumentPieces(arguments string) (pieces []string) {
	if a.script.Split {
		return a.script.Pieces(arguments)
	}
	for rest := arguments; rest != ""; {
		n := min(len(rest), max(1, (len(arguments)+2)/3))
		for n < len(rest) && !utf8.RuneStart(rest[n]) {
			n++
		}
		pieces = append(pieces, rest[:n])
		rest = rest[n:]
	}
	return pieces
}

// event writes one server-sent event; false when the client has left.
func (a *answer) event(v object) bool {
	if a.ctx.Err() != nil {
		return false
	}
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return false
	}
	text := fmt.Sprintf("event: %s\ndata: %s\n\n", v["type"], strings.TrimSuffix(data.String(), "\n"))
	if !a.script.Split {
		return a.write(text)
	}
	for from, i := 0, 1; i <= len(text); i++ {
		// A flush inside each code point, so that a reader sees half of it.
		if i == len(text) || !utf8.RuneStart(text[i]) {
			if !a.write(text[from:i]) || (i < len(text) && !a.sleep(max(a.script.Gap, time.Millisecond))) {
				return false
			}
			from = i
		}
	}
	return true
}

func (a *answer) write(text string) bool {
	if _, err := a.w.Write([]byte(text)); err != nil {
		return false
	}
	return http.NewResponseController(a.w).Flush() == nil
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

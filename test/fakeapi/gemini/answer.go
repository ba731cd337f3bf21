package gemini

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clinvk/clinvk/test/fakeapi"
)

type object = map[string]any

// outcome is how an answer ended.
type outcome int

const (
	answered outcome = iota
	abandoned
	cut
)

// answer writes the answer to one request.
type answer struct {
	server *Server
	script fakeapi.Script
	model  string
	stream bool
	// wrapped puts each chunk into an envelope.
	wrapped bool
	w       http.ResponseWriter
	ctx     context.Context // of the request
	sent    int             // text deltas so far
	events  int
}

func (a *answer) run() outcome {
	s := a.script
	if !a.sleep(s.First) {
		return abandoned
	}
	if a.server.Log.ShouldFail(s) {
		fail(a.w, s.Status, ErrorMessage(s.Status), s.RetryAfter)
		return answered
	}
	if s.Hang {
		<-a.ctx.Done()
		return abandoned
	}
	if !a.stream {
		parts := []any{object{"text": s.Answer()}}
		writeJSON(a.w, http.StatusOK, a.chunk(parts, a.finish()))
		return answered
	}
	a.w.Header().Set("Content-Type", "text/event-stream")
	return a.streamed()
}

// streamed writes the events of a streamed answer.
func (a *answer) streamed() outcome {
	for _, text := range a.script.Thoughts() {
		if !a.event([]any{object{"text": text, "thought": true}}, "") {
			return abandoned
		}
	}
	deltas := a.script.Deltas()
	if a.script.Split && a.script.Text != "" {
		deltas = []string{a.script.Text} // cut apart by flushes, see write
	}
	if done, how := a.broken(); done {
		return how
	}
	for i, text := range deltas {
		finish := ""
		if i == len(deltas)-1 && len(a.script.Tools) == 0 && a.script.Cut != i+1 && a.script.HangAt != i+1 {
			finish = a.finish()
		}
		if !a.event([]any{object{"text": text}}, finish) {
			return abandoned
		}
		a.sent++
		if done, how := a.broken(); done {
			return how
		}
	}
	return a.end(len(deltas))
}

// end writes the calls, or what ends an answer without text.
func (a *answer) end(deltas int) outcome {
	var parts []any
	for i, t := range a.script.Tools {
		part := object{"functionCall": object{"name": t.Name, "args": json.RawMessage(t.Arguments)}}
		if i == 0 {
			part["thoughtSignature"] = "c2lnbmF0dXJl"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 && deltas > 0 {
		return answered
	}
	if len(parts) == 0 {
		parts = []any{object{"text": ""}}
	}
	if !a.event(parts, a.finish()) {
		return abandoned
	}
	return answered
}

// broken says whether the script breaks the answer off here.
func (a *answer) broken() (bool, outcome) {
	if a.script.HangAt == a.sent {
		<-a.ctx.Done()
		return true, abandoned
	}
	if a.script.Cut == a.sent {
		return true, cut
	}
	return false, answered
}

// finish is the API's word for the script's finish.
func (a *answer) finish() string {
	switch a.script.Finish {
	case "length":
		return "MAX_TOKENS"
	case "filter":
		return "SAFETY"
	}
	return strings.ToUpper(a.script.Finish)
}

func (a *answer) chunk(parts []any, finish string) object {
	candidate := object{"content": object{"role": "model", "parts": parts}, "index": 0}
	if finish != "" {
		candidate["finishReason"] = finish
	}
	output := OutputTokens(a.script)
	usage := object{
		"promptTokenCount": InputTokens, "cachedContentTokenCount": CacheReadTokens,
		"candidatesTokenCount": output, "totalTokenCount": InputTokens + output,
	}
	if a.script.Think > 0 {
		usage["thoughtsTokenCount"] = ReasoningTokens
		usage["candidatesTokenCount"] = output - ReasoningTokens
	}
	chunk := object{"candidates": []any{candidate}, "usageMetadata": usage, "modelVersion": a.model, "responseId": "fake"}
	if a.wrapped {
		return object{"response": chunk, "traceId": "fake"}
	}
	return chunk
}

// event writes one server-sent event; false when the client has left.
func (a *answer) event(parts []any, finish string) bool {
	if a.events > 0 && !a.sleep(a.script.Gap) {
		return false
	}
	a.events++
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false) // so that text stays raw UTF-8 that can be cut apart
	if err := enc.Encode(a.chunk(parts, finish)); err != nil {
		return false
	}
	text := "data: " + strings.TrimSuffix(data.String(), "\n") + "\r\n\r\n"
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

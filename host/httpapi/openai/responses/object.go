package responses

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/wire"
	"github.com/clinvk/clinvk/host/store"
)

// Statuses of responses and items.
const (
	statusQueued     = "queued"
	statusInProgress = "in_progress"
	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
)

const idPrefix = "resp_"

// responseID makes an execution's id look like OpenAI's.
func responseID(id string) string { return idPrefix + strings.TrimPrefix(id, "turn_") }

// newRecord is a response that has just begun.
func newRecord(q *request, id, model string) (*store.Response, error) {
	input, err := inputItems(q.input, id)
	return &store.Response{
		ID: id, Owner: q.turn.Owner, Previous: q.previous, Model: model, Created: time.Now().Truncate(time.Second), Status: statusInProgress,
		Background: q.background, Input: input, Output: json.RawMessage("[]"), Settings: q.settings,
	}, err
}

// appendObject appends the response object, which is the same wherever it is shown.
// kept says that the response can be fetched and continued.
func appendObject(b []byte, r *store.Response, kept bool) []byte {
	b = wire.AppendString(append(b, `{"id":`...), r.ID)
	b = wire.AppendInt(b, `,"object":"response","created_at":`, r.Created.Unix())
	b = append(wire.AppendString(append(b, `,"status":`...), r.Status), `,"completed_at":`...)
	if r.Completed.IsZero() {
		b = append(b, "null"...)
	} else {
		b = wire.AppendInt(b, "", r.Completed.Unix())
	}
	b = appendRaw(append(b, `,"error":`...), r.Error)
	b = appendRaw(append(b, `,"incomplete_details":`...), r.Incomplete)
	b = wire.AppendString(append(b, `,"model":`...), r.Model)
	b = appendRaw(append(b, `,"output":`...), r.Output)
	b = wire.AppendNullable(append(b, `,"previous_response_id":`...), r.Previous)
	b = appendBool(append(b, `,"background":`...), r.Background)
	b = appendBool(append(b, `,"store":`...), kept)
	b = appendRaw(append(b, `,"usage":`...), r.Usage)
	return append(append(b, ','), r.Settings[1:]...)
}

func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

// usageObject is the usage. What is unknown is 0: clients add up.
func usageObject(u engine.Usage) json.RawMessage {
	input, output := engine.Known(u.InputTokens), engine.Known(u.OutputTokens)
	b := wire.AppendInt(nil, `{"input_tokens":`, input)
	b = wire.AppendInt(b, `,"input_tokens_details":{"cached_tokens":`, engine.Known(u.CacheReadTokens))
	b = wire.AppendInt(b, `,"cache_write_tokens":`, engine.Known(u.CacheWriteTokens))
	b = wire.AppendInt(b, `},"output_tokens":`, output)
	b = wire.AppendInt(b, `,"output_tokens_details":{"reasoning_tokens":`, engine.Known(u.ReasoningTokens))
	b = wire.AppendInt(b, `},"total_tokens":`, input+output)
	return append(b, '}')
}

// errorObject is the error of a failed response.
func errorObject(code, message string) json.RawMessage {
	if code == "" {
		code = "server_error"
	}
	b := wire.AppendString([]byte(`{"code":`), code)
	return append(wire.AppendString(append(b, `,"message":`...), message), '}')
}

// inputItems are the items of a request as they are kept and listed: each with an id
// and a type, and messages with parts.
func inputItems(v wire.Value, id string) (json.RawMessage, error) {
	base := strings.TrimPrefix(id, idPrefix) + "_in"
	b := []byte{'['}
	if v.IsString() {
		b = append(wire.AppendString(append(b, `{"id":`...), "msg_"+base+"0"), `,"type":"message","role":"user","status":"completed","content":`...)
		b = append(appendContent(b, v, "user"), '}')
	}
	for i, e := range v.Elements() {
		if i > 0 {
			b = append(b, ',')
		}
		o, err := e.Object()
		if err != nil {
			return nil, err
		}
		b = appendInput(b, e, o, string(wire.AppendInt([]byte(base), "", int64(i))))
	}
	return append(b, ']'), nil
}

func appendInput(b []byte, v wire.Value, o wire.Object, base string) []byte {
	if role, err := o.Get("role").String(); err == nil && !o.Get("content").IsNull() {
		id, err := o.Get("id").NonEmpty()
		if err != nil {
			id = "msg_" + base
		}
		b = wire.AppendString(append(b, `{"id":`...), id)
		b = wire.AppendString(append(b, `,"type":"message","role":`...), role)
		return append(appendContent(append(b, `,"status":"completed","content":`...), o.Get("content"), role), '}')
	}
	raw := v.Compact()
	if !o.Get("id").IsNull() {
		return append(b, raw...)
	}
	b = wire.AppendString(append(b, `{"id":`...), "item_"+base)
	if len(raw) > len("{}") {
		b = append(b, ',')
	}
	return append(b, raw[1:]...)
}

func appendContent(b []byte, v wire.Value, role string) []byte {
	if !v.IsString() {
		return append(b, v.Compact()...)
	}
	if role == "assistant" {
		b = append(append(b, `[{"type":"output_text","annotations":[],"text":`...), v.Raw()...)
	} else {
		b = append(append(b, `[{"type":"input_text","text":`...), v.Raw()...)
	}
	return append(b, "}]"...)
}

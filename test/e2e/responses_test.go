//go:build unix

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// contentDialects are those that carry a whole conversation with content of all
// kinds.
func contentDialects() []dialect { return []dialect{openaiChat, anthropicMessages, openaiResponses} }

var openaiResponses = dialect{
	name: "responses", history: true, path: "/openai/v1/responses",
	body: func(a ask) map[string]any {
		input := []any{}
		for _, t := range a.content() {
			input = append(input, responsesItems(t)...)
		}
		b := map[string]any{"model": a.model, "input": input, "store": false}
		if a.system != "" {
			b["instructions"] = a.system
		}
		if a.think {
			b["reasoning"] = map[string]any{"summary": "auto"}
		}
		if a.stream {
			b["stream"] = true
		}
		responsesTools(b, a)
		return b
	},
	plain: func(r *reply, body []byte) error {
		if r.status != http.StatusOK {
			var v openaiBody
			if err := json.Unmarshal(body, &v); err != nil {
				return err
			}
			if v.Error == nil {
				return errors.New("an error without an envelope: " + string(body))
			}
			r.err = &wireError{kind: v.Error.Type, message: v.Error.Message}
			return nil
		}
		var v responsesBody
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		for _, p := range v.parts() {
			r.begins(p)
		}
		return v.finish(r)
	},
	event: responsesEvent,
}

// responsesBody is a response object.
type responsesBody struct {
	Status string          `json:"status"`
	Output []responsesItem `json:"output"`
	Usage  *struct {
		Input   int64 `json:"input_tokens"`
		Output  int64 `json:"output_tokens"`
		Total   int64 `json:"total_tokens"`
		Details struct {
			Cached     int64 `json:"cached_tokens"`
			CacheWrite int64 `json:"cache_write_tokens"`
		} `json:"input_tokens_details"`
		OutDetails struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	} `json:"usage"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

type responsesItem struct {
	Type      string          `json:"type"`
	CallID    string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments string          `json:"arguments"`
	Content   []responsesText `json:"content"`
	Summary   []responsesText `json:"summary"`
}

type responsesText struct {
	Text string `json:"text"`
}

// parts are the output's, as those of other dialects.
func (v responsesBody) parts() (out []part) {
	for _, item := range v.Output {
		var b strings.Builder
		for _, c := range append(item.Summary, item.Content...) {
			b.WriteString(c.Text)
		}
		switch item.Type {
		case "function_call":
			out = append(out, call(item.CallID, item.Name, item.Arguments))
		case "reasoning":
			out = append(out, part{Kind: "thinking", Text: b.String()})
		default:
			out = append(out, part{Kind: "text", Text: b.String()})
		}
	}
	return out
}

func (v responsesBody) finish(r *reply) error {
	r.text, r.think = "", ""
	for _, p := range r.parts {
		switch p.Kind {
		case "text":
			r.text += p.Text
		case "thinking":
			r.think += p.Text
		}
	}
	if v.Usage == nil || v.Usage.Total != v.Usage.Input+v.Usage.Output {
		return fmt.Errorf("usage is %+v", v.Usage)
	}
	r.usage = usage{v.Usage.Input, v.Usage.Output, v.Usage.Details.Cached, v.Usage.Details.CacheWrite, v.Usage.OutDetails.Reasoning}
	r.finish = v.Status
	return nil
}

func responsesEvent(r *reply, kind, data string) (bool, error) {
	var v struct {
		Type     string        `json:"type"`
		Sequence int           `json:"sequence_number"`
		Response responsesBody `json:"response"`
		Item     responsesItem `json:"item"`
		Delta    string        `json:"delta"`
		Message  string        `json:"message"`
		Code     string        `json:"code"`
	}
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return false, err
	}
	if v.Type != kind || v.Sequence != r.events {
		return false, fmt.Errorf("event %d is %s in the event %s with the number %d", r.events, v.Type, kind, v.Sequence)
	}
	r.events++
	switch kind {
	case "response.output_text.delta":
		r.delta(v.Delta)
		r.add("text", v.Delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		r.add("thinking", v.Delta)
	case "response.output_item.added":
		if v.Item.Type == "function_call" {
			r.begins(call(v.Item.CallID, v.Item.Name, ""))
		}
	case "response.function_call_arguments.delta":
		r.parts[len(r.parts)-1].Text += v.Delta
	case "response.completed", "response.incomplete":
		if got, want := fmt.Sprint(r.parts), fmt.Sprint(v.Response.parts()); got != want {
			return false, fmt.Errorf("the deltas add up to %s, the response has %s", got, want)
		}
		return true, v.Response.finish(r)
	case "response.failed":
		r.err = &wireError{kind: "failed", message: "no error", inStream: true}
		if e := v.Response.Error; e != nil {
			r.err.kind, r.err.message = e.Code, e.Message
		}
	case "error":
		r.err = &wireError{kind: v.Code, message: v.Message, inStream: true}
	}
	return false, nil
}

// responsesItems are the items of one turn: calls and results are items of their own.
func responsesItems(t turn) (out []any) {
	textType := map[string]string{"user": "input_text", "assistant": "output_text"}[t.Role]
	var content []any
	flush := func() {
		if content != nil {
			out = append(out, map[string]any{"type": "message", "role": t.Role, "content": content})
			content = nil
		}
	}
	for _, p := range t.Parts {
		switch p.Kind {
		case "call":
			flush()
			out = append(out, map[string]any{"type": "function_call", "call_id": p.ID, "name": p.Name, "arguments": p.Text})
		case "result":
			flush()
			item := map[string]any{"type": "function_call_output", "call_id": p.ID, "output": responsesContent("input_text", p.Parts)}
			if len(p.Parts) == 1 && p.Parts[0].Kind == "text" {
				item["output"] = p.Parts[0].Text
			}
			out = append(out, item)
		case "thinking":
			flush()
			out = append(out, map[string]any{"type": "reasoning", "summary": []any{map[string]any{"type": "summary_text", "text": p.Text}}})
		default:
			content = append(content, responsesContent(textType, []part{p})...)
		}
	}
	flush()
	return out
}

func responsesContent(textType string, parts []part) []any {
	out := []any{}
	for _, p := range parts {
		switch p.Kind {
		case "image":
			out = append(out, map[string]any{"type": "input_image", "image_url": p.url()})
		case "document":
			out = append(out, map[string]any{"type": "input_file", "filename": "file.pdf", "file_data": p.url()})
		default:
			out = append(out, map[string]any{"type": textType, "text": p.Text})
		}
	}
	return out
}

func responsesTools(b map[string]any, a ask) {
	var tools []any
	for _, t := range a.tools {
		tools = append(tools, map[string]any{
			"type": "function", "name": t.Name, "description": t.Description, "parameters": json.RawMessage(t.Schema), "strict": false,
		})
	}
	if tools != nil {
		b["tools"] = tools
	}
	switch a.choice {
	case "":
	case "auto", "none", "required":
		b["tool_choice"] = a.choice
	default:
		b["tool_choice"] = map[string]any{"type": "function", "name": a.choice}
	}
	switch a.schema {
	case "":
	case "object":
		b["text"] = map[string]any{"format": map[string]any{"type": "json_object"}}
	default:
		b["text"] = map[string]any{"format": map[string]any{
			"type": "json_schema", "name": "answer", "strict": true, "schema": json.RawMessage(a.schema),
		}}
	}
}

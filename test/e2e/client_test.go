//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// ask is a request in neutral form.
type ask struct {
	model   string
	system  string
	history []message // the last one is the prompt
	stream  bool
	onDelta func()            // called with the first delta
	onPart  func(kind string) // called when a part begins
	think   bool              // ask for reasoning, where a dialect shows it only then
	agent   map[string]string // mode headers/fields: workdir, approval_mode, sandbox_mode
	turns   []turn            // in place of history: content of all kinds
	tools   []tool
	choice  string         // of tools: auto, none, required, or a tool's name
	schema  string         // of the answer, as JSON; "object": any object, where a dialect has that
	extra   map[string]any // further fields of the body
}

// reply is an answer in neutral form.
type reply struct {
	status  int
	header  http.Header
	text    string
	think   string
	parts   []part      // all content, in order
	open    bool        // the last part is not at its end
	events  int         // so far, where they are numbered
	deltas  []time.Time // when each text delta came
	usage   usage
	finish  string
	tools   []string // agent's tool events of REST: "use NAME", "result TEXT"
	err     *wireError
	onDelta func()
	onPart  func(kind string)
	begin   time.Time
	first   time.Time // first delta
	end     time.Time
	raw     string
}

// wireError is an error as the dialect showed it, with a status or in the stream.
type wireError struct {
	kind     string // type in the envelope (REST: code)
	message  string
	inStream bool
}

// dialect is one way to ask.
type dialect struct {
	name string
	// history says that earlier messages can be sent.
	history bool
	path    string
	body    func(ask) map[string]any
	plain   func(*reply, []byte) error
	// event takes one event of a stream; done says that it was the regular last one.
	event func(r *reply, kind, data string) (done bool, err error)
}

var dialects = []dialect{rest, openaiChat, anthropicMessages}

var rest = dialect{
	name: "rest", path: "/api/v1/prompt",
	body: func(a ask) map[string]any {
		b := map[string]any{"prompt": a.history[len(a.history)-1].Text, "system_prompt": a.system, "mode": "chat"}
		backend, model, _ := strings.Cut(a.model, "/")
		b["backend"], b["model"] = backend, model
		if a.stream {
			b["output_format"] = "stream-json"
		}
		if a.agent != nil {
			b["mode"] = "agent"
			for k, v := range a.agent {
				b[k] = v
			}
		}
		return b
	},
	plain: func(r *reply, body []byte) error {
		var v struct {
			Output       string    `json:"output"`
			FinishReason string    `json:"finish_reason"`
			TokenUsage   restUsage `json:"token_usage"`
			Code         string    `json:"code"`
			Detail       string    `json:"detail"`
		}
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		if r.status != http.StatusOK {
			r.err = &wireError{kind: v.Code, message: v.Detail}
			return nil
		}
		r.text, r.finish, r.usage = v.Output, v.FinishReason, v.TokenUsage.neutral()
		return nil
	},
	event: func(r *reply, _, data string) (bool, error) {
		var e struct {
			Type    string `json:"type"`
			Content struct {
				Text         string    `json:"text"`
				Name         string    `json:"name"`
				Output       string    `json:"output"`
				Code         string    `json:"code"`
				Message      string    `json:"message"`
				TokenUsage   restUsage `json:"token_usage"`
				FinishReason string    `json:"finish_reason"`
			} `json:"content"`
		}
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return false, err
		}
		switch e.Type {
		case "message":
			r.delta(e.Content.Text)
		case "thinking":
			r.think += e.Content.Text
		case "tool_use":
			r.tools = append(r.tools, "use "+e.Content.Name)
		case "tool_result":
			r.tools = append(r.tools, "result "+e.Content.Output)
		case "error":
			r.err = &wireError{kind: e.Content.Code, message: e.Content.Message, inStream: true}
		case "done":
			r.usage, r.finish = e.Content.TokenUsage.neutral(), e.Content.FinishReason
			return true, nil
		}
		return false, nil
	},
}

type restUsage struct {
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	Cached     int64 `json:"cached_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
	Reasoning  int64 `json:"reasoning_tokens"`
}

func (u restUsage) neutral() usage {
	return usage{u.Input, u.Output, u.Cached, u.CacheWrite, u.Reasoning}
}

var openaiChat = dialect{
	name: "openai", history: true, path: "/openai/v1/chat/completions",
	body: func(a ask) map[string]any {
		var messages []map[string]any
		if a.system != "" {
			messages = append(messages, map[string]any{"role": "system", "content": a.system})
		}
		for _, t := range a.content() {
			messages = append(messages, openaiMessages(t)...)
		}
		b := map[string]any{"model": a.model, "messages": messages}
		openaiTools(b, a)
		if a.stream {
			b["stream"], b["stream_options"] = true, map[string]any{"include_usage": true}
		}
		return b
	},
	plain: func(r *reply, body []byte) error {
		var v openaiBody
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		if v.Error != nil {
			r.err = &wireError{kind: v.Error.Type, message: v.Error.Message}
			return nil
		}
		if len(v.Choices) != 1 {
			return errors.New("not one choice")
		}
		m := v.Choices[0].Message
		r.text, r.think, r.finish, r.usage = m.Content, m.Reasoning, v.Choices[0].FinishReason, v.Usage.neutral()
		r.add("thinking", m.Reasoning)
		r.add("text", m.Content)
		for _, c := range m.ToolCalls {
			if err := c.take(r, false); err != nil {
				return err
			}
		}
		return nil
	},
	event: func(r *reply, _, data string) (bool, error) {
		if data == "[DONE]" {
			return true, nil
		}
		var v openaiBody
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			return false, err
		}
		if v.Error != nil {
			r.err = &wireError{kind: v.Error.Type, message: v.Error.Message, inStream: true}
			return false, nil
		}
		if v.Usage != nil {
			r.usage = v.Usage.neutral()
		}
		for _, c := range v.Choices {
			r.delta(c.Delta.Content)
			r.think += c.Delta.Reasoning
			r.add("thinking", c.Delta.Reasoning)
			r.add("text", c.Delta.Content)
			for _, call := range c.Delta.ToolCalls {
				if err := call.take(r, true); err != nil {
					return false, err
				}
			}
			if c.FinishReason != "" {
				r.finish = c.FinishReason
			}
		}
		return false, nil
	},
}

type openaiBody struct {
	Error *struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Code    *string `json:"code"`
	} `json:"error"`
	Choices []struct {
		Message      openaiContent `json:"message"`
		Delta        openaiContent `json:"delta"`
		FinishReason string        `json:"finish_reason"`
	} `json:"choices"`
	Usage *openaiUsage `json:"usage"`
}

type openaiContent struct {
	Content   string       `json:"content"`
	Reasoning string       `json:"reasoning_content"`
	ToolCalls []openaiCall `json:"tool_calls"`
}

type openaiUsage struct {
	Prompt     int64 `json:"prompt_tokens"`
	Completion int64 `json:"completion_tokens"`
	Total      int64 `json:"total_tokens"`
	Details    struct {
		Cached     int64 `json:"cached_tokens"`
		CacheWrite int64 `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
	OutDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

func (u *openaiUsage) neutral() usage {
	if u == nil || u.Total != u.Prompt+u.Completion {
		return usage{}
	}
	return usage{u.Prompt, u.Completion, u.Details.Cached, u.Details.CacheWrite, u.OutDetails.Reasoning}
}

var anthropicMessages = dialect{
	name: "anthropic", history: true, path: "/anthropic/v1/messages",
	body: func(a ask) map[string]any {
		var messages []map[string]any
		for _, t := range a.content() {
			messages = append(messages, anthropicMessage(t))
		}
		b := map[string]any{"model": a.model, "messages": messages, "max_tokens": 1 << 20}
		anthropicTools(b, a)
		if a.system != "" {
			b["system"] = a.system
		}
		if a.think {
			b["thinking"] = map[string]any{"type": "enabled", "budget_tokens": 2048}
		}
		if a.stream {
			b["stream"] = true
		}
		return b
	},
	plain: func(r *reply, body []byte) error {
		var v struct {
			anthropicError
			Content    []anthropicBlock `json:"content"`
			StopReason string           `json:"stop_reason"`
			Usage      anthropicUsage   `json:"usage"`
		}
		if err := json.Unmarshal(body, &v); err != nil {
			return err
		}
		if v.Error.Type != "" {
			r.err = &wireError{kind: v.Error.Type, message: v.Error.Message}
			return nil
		}
		for _, c := range v.Content {
			r.text += c.Text
			r.think += c.Thinking
			r.parts = append(r.parts, c.part())
		}
		r.finish, r.usage = v.StopReason, v.Usage.neutral()
		return nil
	},
	event: func(r *reply, kind, data string) (bool, error) {
		var v struct {
			anthropicError
			Type    string `json:"type"`
			Message struct {
				Usage anthropicUsage `json:"usage"`
			} `json:"message"`
			Index int            `json:"index"`
			Block anthropicBlock `json:"content_block"`
			Delta struct {
				Text       string `json:"text"`
				Thinking   string `json:"thinking"`
				Signature  string `json:"signature"`
				Arguments  string `json:"partial_json"`
				StopReason string `json:"stop_reason"`
			} `json:"delta"`
			Usage anthropicUsage `json:"usage"`
		}
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			return false, err
		}
		if v.Type != kind {
			return false, errors.New("event " + kind + " has type " + v.Type)
		}
		switch kind {
		case "message_start":
			r.usage = v.Message.Usage.neutral()
		case "content_block_start":
			return false, r.start(v.Index, v.Block.part())
		case "content_block_stop":
			return false, r.stop(v.Index)
		case "content_block_delta":
			r.delta(v.Delta.Text)
			r.think += v.Delta.Thinking
			return false, r.grow(v.Index, part{Text: v.Delta.Text + v.Delta.Thinking + v.Delta.Arguments, Signature: v.Delta.Signature})
		case "message_delta":
			r.finish, r.usage = v.Delta.StopReason, v.Usage.neutral()
		case "error":
			r.err = &wireError{kind: v.Error.Type, message: v.Error.Message, inStream: true}
		case "message_stop":
			return true, nil
		}
		return false, nil
	},
}

type anthropicError struct {
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

type anthropicUsage struct {
	Input      int64 `json:"input_tokens"`
	Output     int64 `json:"output_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	Details    struct {
		Thinking int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// neutral adds the cached tokens to the input, where this dialect keeps them apart.
func (u anthropicUsage) neutral() usage {
	return usage{u.Input + u.CacheRead + u.CacheWrite, u.Output, u.CacheRead, u.CacheWrite, u.Details.Thinking}
}

func (r *reply) delta(text string) {
	if text == "" {
		return
	}
	now := time.Now()
	if r.first.IsZero() {
		r.first = now
		if r.onDelta != nil {
			r.onDelta()
		}
	}
	r.deltas = append(r.deltas, now)
	r.text += text
}

// do asks and reads the answer to its end. The error is one of transport, or of an
// answer that is not well formed; errors of the server are in the reply.
func (d dialect) do(ctx context.Context, url string, a ask) (*reply, error) {
	fields := d.body(a)
	maps.Copy(fields, a.extra)
	body, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+d.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	r := &reply{begin: time.Now(), onDelta: a.onDelta, onPart: a.onPart}
	defer func() { r.end = time.Now() }()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	if !a.stream || resp.StatusCode != http.StatusOK {
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return r, err
		}
		r.raw = string(raw)
		return r, d.plain(r, raw)
	}
	return r, d.readStream(r, resp.Body)
}

func (d dialect) readStream(r *reply, body io.Reader) error {
	lines := bufio.NewReader(body)
	kind, done := "", false
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && (done || r.err != nil) {
				return nil
			}
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		data := line
		if d.name != "rest" {
			if k, ok := strings.CutPrefix(line, "event: "); ok {
				kind = k
				continue
			}
			var ok bool
			if data, ok = strings.CutPrefix(line, "data: "); !ok {
				continue
			}
		}
		if data == "" {
			continue
		}
		if done {
			return errors.New("an event after the last one: " + data)
		}
		if done, err = d.event(r, kind, data); err != nil {
			return err
		}
	}
}

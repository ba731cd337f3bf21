//go:build linux

package isolation_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dialect is one way to ask for a turn, whole or as a stream.
type dialect struct {
	name   string
	path   string
	stream bool
}

var (
	restWhole       = dialect{"rest", "/api/v1/prompt", false}
	restStream      = dialect{"rest stream", "/api/v1/prompt", true}
	openaiWhole     = dialect{"openai", "/openai/v1/chat/completions", false}
	openaiStream    = dialect{"openai stream", "/openai/v1/chat/completions", true}
	anthropicWhole  = dialect{"anthropic", "/anthropic/v1/messages", false}
	anthropicStream = dialect{"anthropic stream", "/anthropic/v1/messages", true}
)

// body of a request for a turn of a kind (a model name of hosttest).
func (d dialect) body(backend, kind, text string) map[string]any {
	messages := []map[string]string{{"role": "user", "content": text}}
	switch d {
	case restWhole:
		return map[string]any{"backend": backend, "model": kind, "prompt": text}
	case restStream:
		return map[string]any{"backend": backend, "model": kind, "prompt": text, "output_format": "stream-json"}
	case openaiWhole, openaiStream:
		return map[string]any{"model": backend + "/" + kind, "messages": messages, "stream": d.stream}
	default:
		return map[string]any{"model": backend + "/" + kind, "max_tokens": 1 << 23, "messages": messages, "stream": d.stream}
	}
}

// outcome of a turn.
type outcome struct {
	status   int
	text     string
	failure  *failure // nil: it worked
	inStream bool     // the failure came after the response had begun
}

// failure is an error in any dialect's shape.
type failure struct {
	// kind is REST's code, OpenAI's code, Anthropic's type.
	kind       string
	message    string
	exitCode   *int
	stderrTail string
}

func (o outcome) String() string {
	if o.failure == nil {
		return fmt.Sprintf("%d %.200q", o.status, o.text)
	}
	return fmt.Sprintf("%d %s in stream: %v: %.300q, exit %v, stderr %.300q", o.status, o.failure.kind, o.inStream, o.failure.message, o.failure.exitCode, o.failure.stderrTail)
}

// open posts a request for a turn.
func (w *world) open(ctx context.Context, d dialect, body map[string]any) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+d.path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return w.client.Do(req)
}

// turn runs a turn to its end.
func (w *world) turn(ctx context.Context, d dialect, backend, kind, text string) (outcome, error) {
	resp, err := w.open(ctx, d, d.body(backend, kind, text))
	if err != nil {
		return outcome{}, err
	}
	defer resp.Body.Close()
	return d.read(resp)
}

// must is turn for those that have to get an answer of some kind.
func (w *world) must(t testing.TB, d dialect, backend, kind, text string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	o, err := w.turn(ctx, d, backend, kind, text)
	if err != nil {
		t.Fatalf("%s turn %q of %s: %v", d.name, kind, backend, err)
	}
	return o
}

// read takes a response in. An answer without the shape of its dialect is an
// error.
func (d dialect) read(resp *http.Response) (outcome, error) {
	o := outcome{status: resp.StatusCode}
	if resp.StatusCode != http.StatusOK || !d.stream {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return o, err
		}
		if resp.StatusCode != http.StatusOK {
			o.failure, err = d.failure(body)
			return o, err
		}
		o.text, err = d.whole(body)
		return o, err
	}
	o.inStream = true
	over := false
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			if !over {
				return o, fmt.Errorf("the stream ends without an end: %v", o)
			}
			return o, nil
		}
		if err != nil {
			return o, err
		}
		if end, err := d.line(&o, line); err != nil {
			return o, err
		} else if end {
			over = true
		}
	}
}

// whole reads the text of an answer.
func (d dialect) whole(body []byte) (string, error) {
	var a struct {
		Output  *string
		Choices []struct{ Message struct{ Content string } }
		Content []struct{ Text string }
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return "", fmt.Errorf("%w: %.200s", err, body)
	}
	switch {
	case a.Output != nil:
		return *a.Output, nil
	case len(a.Choices) > 0:
		return a.Choices[0].Message.Content, nil
	case len(a.Content) > 0:
		return a.Content[0].Text, nil
	}
	return "", nil
}

// failure reads an error in the dialect's shape; one in another shape is an error.
func (d dialect) failure(body []byte) (*failure, error) {
	var e struct {
		// REST: problem+json, and the content of an error event.
		Code, Detail, Message string
		ExitCode              *int   `json:"exit_code"`
		StderrTail            string `json:"stderr_tail"`
		// OpenAI and Anthropic.
		Error struct{ Message, Type, Code string }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, fmt.Errorf("no error of %s: %w: %.200s", d.name, err, body)
	}
	f := &failure{exitCode: e.ExitCode, stderrTail: e.StderrTail}
	switch d {
	case restWhole, restStream:
		f.kind, f.message = e.Code, e.Detail+e.Message
	case openaiWhole, openaiStream:
		f.kind, f.message = e.Error.Code, e.Error.Message
	default:
		f.kind, f.message = e.Error.Type, e.Error.Message
	}
	if f.kind == "" || f.message == "" {
		return nil, fmt.Errorf("no error of %s: %.200s", d.name, body)
	}
	return f, nil
}

// line takes one line of a stream in and says whether it ends the answer.
func (d dialect) line(o *outcome, line []byte) (end bool, err error) {
	if d != restStream {
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			return false, nil
		}
		line = bytes.TrimSpace(data)
		if string(line) == "[DONE]" {
			return true, nil
		}
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return false, nil
	}
	var e struct {
		Type    string
		Content json.RawMessage                            // REST
		Delta   struct{ Text string }                      // Anthropic
		Choices []struct{ Delta struct{ Content string } } // OpenAI
		Error   json.RawMessage
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return false, fmt.Errorf("%w: %.200s", err, line)
	}
	switch {
	case d == restStream && e.Type == "error":
		o.failure, err = d.failure(e.Content)
		return true, err
	case e.Error != nil:
		o.failure, err = d.failure(line)
		return true, err
	case d == restStream && e.Type == "message":
		var m struct{ Text string }
		err = json.Unmarshal(e.Content, &m)
		o.text += m.Text
	case d == restStream:
		return e.Type == "done", nil
	case len(e.Choices) > 0:
		o.text += e.Choices[0].Delta.Content
	default:
		o.text += e.Delta.Text
	}
	return e.Type == "message_stop", err
}

// answers says that a backend answers a turn, and fails the test otherwise.
func (w *world) answers(t testing.TB, backend string) {
	t.Helper()
	text := "are you there, " + backend + "?"
	if o := w.must(t, restWhole, backend, "echo", text); o.failure != nil || o.text != text {
		t.Errorf("%s does not answer: %v", backend, o)
	}
}

// recovers waits until a backend answers.
func (w *world) recovers(t testing.TB, backend string) {
	t.Helper()
	var last outcome
	eventually(t, backend+" answers again", func() bool {
		last = w.must(t, restWhole, backend, "echo", "back?")
		return last.failure == nil && strings.Contains(last.text, "back?")
	})
}

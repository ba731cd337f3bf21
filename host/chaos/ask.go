package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// turnLimit is how long any turn of a run may take: a slow one takes two seconds,
// one that waits for a stopped plugin a few.
const turnLimit = 30 * time.Second

// question is what a client asks, in OpenAI's dialect.
type question struct {
	model  string
	stream bool
}

// kind of an outcome.
type kind int

const (
	answered kind = iota // with the right text
	failed               // with an error in the dialect's form
	broken               // without an end, or with an error in no form
	wrong                // with another text
)

// outcome of a question.
type outcome struct {
	begin, end time.Time
	kind       kind
	text       string // why not answered
}

// questions numbers them: no two prompts are alike.
var questions atomic.Uint64

// envelope is the part of OpenAI's answers that matters here.
type envelope struct {
	Error *struct {
		Message string `json:"message"`
		Type    string `json:"type"`
	} `json:"error"`
	Choices []struct {
		Message struct {
			Content string `json:"content"`
		} `json:"message"`
		Delta struct {
			Content string `json:"content"`
		} `json:"delta"`
	} `json:"choices"`
}

// ask asks and reads the answer to its end.
func (w *world) ask(ctx context.Context, q question) outcome {
	prompt := fmt.Sprintf("question %d, in some words of its own", questions.Add(1))
	o := outcome{begin: time.Now()}
	text, failure, err := w.exchange(ctx, q, prompt)
	o.end = time.Now()
	switch {
	case err != nil:
		o.kind, o.text = broken, err.Error()
	case failure != "":
		o.kind, o.text = failed, failure
	case text != prompt:
		o.kind, o.text = wrong, fmt.Sprintf("%.100q instead of %q", text, prompt)
	}
	return o
}

// exchange returns the text, or the server's typed failure, or what is wrong with
// the answer itself.
func (w *world) exchange(ctx context.Context, q question, prompt string) (text, failure string, err error) {
	body, err := json.Marshal(map[string]any{
		"model": q.model, "stream": q.stream, "messages": []map[string]string{{"role": "user", "content": prompt}},
	})
	if err != nil {
		return "", "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+"/openai/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	if q.stream && resp.StatusCode == http.StatusOK {
		if q.model == w.backend+"/"+slowModel {
			begun := sync.OnceFunc(func() { w.speaking.Add(1) })
			defer func() { begun(); w.speaking.Add(-1) }()
			return readStream(resp.Body, begun)
		}
		return readStream(resp.Body, func() {})
	}
	var e envelope
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
		return "", "", fmt.Errorf("status %d without JSON: %w", resp.StatusCode, err)
	}
	if failure, err := e.failure(); failure != "" || err != nil {
		return "", failure, err
	}
	if resp.StatusCode != http.StatusOK || len(e.Choices) != 1 {
		return "", "", fmt.Errorf("status %d with %d choices and no error", resp.StatusCode, len(e.Choices))
	}
	return e.Choices[0].Message.Content, "", nil
}

// failure is the typed error; an error without type or message is none.
func (e envelope) failure() (string, error) {
	switch {
	case e.Error == nil:
		return "", nil
	case e.Error.Type == "" || e.Error.Message == "":
		return "", errors.New("an error without type or message")
	}
	return e.Error.Type + ": " + e.Error.Message, nil
}

// readStream calls begun with each event.
func readStream(body io.Reader, begun func()) (text, failure string, err error) {
	var whole strings.Builder
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			return whole.String(), "", nil
		}
		var e envelope
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return "", "", fmt.Errorf("an event without JSON: %w", err)
		}
		if failure, err := e.failure(); failure != "" || err != nil {
			return "", failure, err
		}
		begun()
		for _, c := range e.Choices {
			whole.WriteString(c.Delta.Content)
		}
	}
	if err := lines.Err(); err != nil {
		return "", "", err
	}
	return "", "", io.ErrUnexpectedEOF
}

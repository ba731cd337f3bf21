package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Client of one server. Its methods may be called concurrently.
type Client struct {
	// Base address, such as http://127.0.0.1:8080.
	Base string
	// Key is sent with each request; empty: none.
	Key string
	// RequestID is sent with each request, so that what runs can be found by it; empty:
	// the server makes one for each.
	RequestID string
	// HTTP carries the requests; nil: http.DefaultClient.
	HTTP *http.Client
}

// Error is what a server answered instead of what was asked for.
type Error struct {
	Status int `json:"status"`
	// Code is one word for programs, such as backend_unavailable.
	Code string `json:"code"`
	// Detail is for people.
	Detail       string `json:"detail"`
	RetryAfterMS int64  `json:"retry_after_ms"`
	ExitCode     *int   `json:"exit_code"`
	StderrTail   string `json:"stderr_tail"`
	// Errors says which fields of the request are at fault; empty: no single one is.
	Errors []FieldError `json:"errors"`
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	// Pointer is a JSON Pointer.
	Pointer string `json:"pointer"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Detail }

// ErrNoServer is that nobody listens at the address.
var ErrNoServer = errors.New("no server listens")

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// Get reads what is at a path into out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, http.MethodGet, path, nil, out)
}

// Post sends in and reads the answer into out. The error is an *Error when the server
// answered with one.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, http.MethodPost, path, in, out)
}

// Patch sends in, which changes what is at a path, and reads the answer into out.
func (c *Client) Patch(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, http.MethodPatch, path, in, out)
}

// Delete deletes what is at a path.
func (c *Client) Delete(ctx context.Context, path string) error {
	response, err := c.send(ctx, http.MethodDelete, path, nil)
	if err != nil {
		return err
	}
	_ = response.Body.Close() // it has no body
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	response, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the server's answer to %s is not what clinvk answers: %w", path, err)
	}
	return nil
}

// send returns the response of what worked.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("making the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.Base, "/")+path, body)
	if err != nil {
		return nil, fmt.Errorf("the address of the server: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	if c.Key != "" {
		request.Header.Set("Authorization", "Bearer "+c.Key)
	}
	if c.RequestID != "" {
		request.Header.Set("X-Request-Id", c.RequestID)
	}
	response, err := cmp.Or(c.HTTP, http.DefaultClient).Do(request)
	switch {
	case refused(err):
		return nil, fmt.Errorf("%w at %s", ErrNoServer, c.Base)
	case err != nil:
		return nil, fmt.Errorf("asking the server: %w", err)
	case response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent:
		defer response.Body.Close()
		return nil, problem(response)
	}
	return response, nil
}

// problem reads an answer that is none.
func problem(response *http.Response) error {
	e := &Error{}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil || json.Unmarshal(body, e) != nil || e.Detail == "" {
		return fmt.Errorf("the server answers %s, and not as clinvk does", response.Status)
	}
	e.Status = response.StatusCode
	return e
}

// Event is one event of a stream.
type Event struct {
	Type      string          `json:"type"`
	Backend   string          `json:"backend"`
	SessionID string          `json:"session_id"`
	Timestamp time.Time       `json:"timestamp"`
	Sequence  int             `json:"sequence"`
	Index     *int            `json:"index"`
	Step      int             `json:"step"`
	Content   json.RawMessage `json:"content"`
	// Line is the event as it came.
	Line json.RawMessage `json:"-"`
}

// Stream sends in and hands each event of the answer to each, until its end or until
// each returns an error.
func (c *Client) Stream(ctx context.Context, path string, in any, each func(Event) error) error {
	response, err := c.send(ctx, http.MethodPost, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxAnswer)
	last := ""
	for lines.Scan() {
		if len(lines.Bytes()) == 0 { // a heartbeat
			continue
		}
		e := Event{Line: bytes.Clone(lines.Bytes())}
		if err := json.Unmarshal(e.Line, &e); err != nil {
			return fmt.Errorf("the server's events are not those of clinvk: %w", err)
		}
		if last = e.Type; e.Type == "" {
			return errors.New("the server's events are not those of clinvk")
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	if last != "done" && last != "error" && last != "result" {
		return errors.New("the server's answer is not whole: the connection was cut")
	}
	return nil
}

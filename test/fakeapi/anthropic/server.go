package anthropic

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// The usage that every answer reports; see OutputTokens for the rest.
const (
	InputTokens      = 11 // read and not cached
	CacheWriteTokens = 22
	CacheReadTokens  = 33
	// ReasoningTokens are reported when the script thinks; they are part of the output.
	ReasoningTokens = 5
	// TotalInputTokens is everything that was read.
	TotalInputTokens = InputTokens + CacheWriteTokens + CacheReadTokens
)

// OutputTokens is what the answer to s reports as written.
func OutputTokens(s fakeapi.Script) int { return len(s.Deltas()) + 7 }

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL for ANTHROPIC_BASE_URL.
	URL string
	// Log of the requests so far.
	Log *fakeapi.Log

	sequence atomic.Int64
	listener *fakeapi.Listener
}

// New starts a fake that ends with the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s, err := NewServer()
	return fakeapi.ForTest(tb, s, err)
}

// NewServer starts a fake on a free loopback port; the caller closes it.
func NewServer() (s *Server, err error) {
	s = &Server{Log: &fakeapi.Log{}}
	if s.listener, err = fakeapi.Listen(s); err != nil {
		return nil, err
	}
	s.URL = s.listener.URL
	return s, nil
}

// Close cuts all connections and waits for the server's end.
func (s *Server) Close() error { return s.listener.Close() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has left before it had said what it wants
	}
	entry := &fakeapi.Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body}
	switch {
	case r.URL.Path == "/v1/messages" && r.Method == http.MethodPost:
		s.messages(w, r, entry)
	case r.URL.Path == "/v1/messages/count_tokens":
		s.Log.Add(entry)
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": TotalInputTokens})
	case r.URL.Path == "/" || r.URL.Path == "/api/hello":
		s.Log.Add(entry)
		w.WriteHeader(http.StatusOK)
	default:
		s.Log.Add(entry)
		s.fail(w, http.StatusNotFound, "fake API: no such route "+r.Method+" "+r.URL.Path)
	}
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request, entry *fakeapi.Request) {
	req, err := parse(entry.Body)
	if err != nil {
		s.Log.Add(entry)
		s.fail(w, http.StatusBadRequest, "fake API: "+err.Error())
		return
	}
	entry.Turn = !req.sideCall()
	s.Log.Add(entry)
	if wrong := req.refusal(); wrong != "" {
		s.fail(w, http.StatusBadRequest, wrong)
		return
	}
	script, err := fakeapi.ParseScript(req.prompt())
	if err != nil {
		s.fail(w, http.StatusInternalServerError, "fake API: "+err.Error())
		return
	}
	if entry.Turn {
		leave := s.Log.Enter()
		defer leave()
	}
	a := &answer{server: s, script: script, request: req, w: w, ctx: r.Context()}
	complete := a.run()
	entry.Finished(!complete)
}

// errorTypes are the API's names of its statuses.
var errorTypes = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error",
	413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}

// ErrorMessage is the text of the error that a script with that status causes.
func ErrorMessage(status int) string { return fmt.Sprintf("fake upstream error %d", status) }

func (s *Server) fail(w http.ResponseWriter, status int, message string) {
	kind := errorTypes[status]
	if kind == "" {
		kind = "api_error"
	}
	id := s.id("req")
	w.Header().Set("Request-Id", id)
	writeJSON(w, status, map[string]any{
		"type": "error", "request_id": id,
		"error": map[string]any{"type": kind, "message": message},
	})
}

func (s *Server) id(prefix string) string {
	return fmt.Sprintf("%s_fake_%06d", prefix, s.sequence.Add(1))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has left is noticed by its own test
}

func (s *Server) scripted(w http.ResponseWriter, script fakeapi.Script) {
	if script.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(script.RetryAfter))
	}
	s.fail(w, script.Status, ErrorMessage(script.Status))
}

// stopReason is the API's word for the script's finish.
func stopReason(script fakeapi.Script) string {
	if len(script.Tools) > 0 && script.Finish == "stop" {
		return "tool_use"
	}
	switch script.Finish {
	case "length":
		return "max_tokens"
	case "filter":
		return "refusal"
	}
	return strings.Replace(script.Finish, "stop", "end_turn", 1)
}

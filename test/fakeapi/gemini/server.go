package gemini

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// The usage that every answer reports; see OutputTokens for the rest.
const (
	// InputTokens is everything that was read, cached tokens included.
	InputTokens = 66
	// CacheReadTokens are those of InputTokens that came from a cache.
	CacheReadTokens = 33
	// ReasoningTokens are reported when the script thinks; they are part of the output.
	ReasoningTokens = 5
)

// OutputTokens is what the answer to s reports as written, reasoning included.
func OutputTokens(s fakeapi.Script) int { return len(s.Deltas()) + 7 }

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL for GOOGLE_GEMINI_BASE_URL.
	URL string
	// Log of the requests so far.
	Log *fakeapi.Log

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
	if method, ok := strings.CutPrefix(r.URL.Path, "/v1internal:"); ok {
		s.codeAssist(w, r, entry, method)
		return
	}
	model, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1beta/models/"), ":")
	switch method {
	case "streamGenerateContent", "generateContent":
		// The CLI streams what it shows; the other method is for its side calls.
		entry.Turn = method == "streamGenerateContent"
		s.generate(w, r, entry, model, false)
	case "countTokens":
		s.Log.Add(entry)
		writeJSON(w, http.StatusOK, object{"totalTokens": InputTokens})
	default:
		s.Log.Add(entry)
		fail(w, http.StatusNotFound, "fake API: no such route "+r.Method+" "+r.URL.Path, 0)
	}
}

func (s *Server) generate(w http.ResponseWriter, r *http.Request, entry *fakeapi.Request, model string, wrapped bool) {
	s.Log.Add(entry)
	req, err := parse(entry.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "fake API: "+err.Error(), 0)
		return
	}
	if kind := req.GenerationConfig["responseMimeType"]; kind != nil && len(req.tools()) > 0 && strings.HasPrefix(model, "gemini-2") {
		fail(w, http.StatusBadRequest, fmt.Sprintf("Function calling with a response mime type: '%v' is unsupported", kind), 0)
		return
	}
	script, err := fakeapi.ParseScript(req.prompt())
	if err != nil {
		fail(w, http.StatusInternalServerError, "fake API: "+err.Error(), 0)
		return
	}
	if entry.Turn {
		leave := s.Log.Enter()
		defer leave()
	}
	a := &answer{server: s, script: script, model: model, stream: entry.Turn, wrapped: wrapped, w: w, ctx: r.Context()}
	switch a.run() {
	case answered:
		entry.Finished(false)
	case abandoned:
		entry.Finished(true)
	case cut:
		panic(http.ErrAbortHandler) // net/http then drops the connection
	}
}

// codeAssist answers the API that the CLI uses after a login with Google: the same
// requests and answers in an envelope, and questions about the account.
func (s *Server) codeAssist(w http.ResponseWriter, r *http.Request, entry *fakeapi.Request, method string) {
	switch method {
	case "streamGenerateContent", "generateContent":
		var envelope struct {
			Model   string          `json:"model"`
			Request json.RawMessage `json:"request"`
		}
		if err := json.Unmarshal(entry.Body, &envelope); err != nil {
			s.Log.Add(entry)
			fail(w, http.StatusBadRequest, "fake API: "+err.Error(), 0)
			return
		}
		entry.Body = envelope.Request
		entry.Turn = method == "streamGenerateContent"
		s.generate(w, r, entry, envelope.Model, true)
	case "loadCodeAssist":
		s.Log.Add(entry)
		tier := object{"id": "free-tier", "name": "Free", "isDefault": true}
		writeJSON(w, http.StatusOK, object{"currentTier": tier, "allowedTiers": []any{tier}, "cloudaicompanionProject": "fake-project"})
	default:
		s.Log.Add(entry)
		writeJSON(w, http.StatusOK, object{})
	}
}

// statuses are the API's names of its statuses.
var statuses = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// ErrorMessage is the text of the error that a script with that status causes.
func ErrorMessage(status int) string { return fmt.Sprintf("fake upstream error %d", status) }

// fail writes an error of the API; retryAfter in seconds, 0: none.
func fail(w http.ResponseWriter, status int, message string, retryAfter int) {
	e := object{"code": status, "message": message, "status": statuses[status]}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		e["details"] = []any{object{
			"@type":      "type.googleapis.com/google.rpc.RetryInfo",
			"retryDelay": fmt.Sprintf("%ds", retryAfter),
		}}
	}
	writeJSON(w, status, object{"error": e})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has left is noticed by its own test
}

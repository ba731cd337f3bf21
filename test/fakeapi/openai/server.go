package openai

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/fakeapi"
)

// The usage that every answer reports; see OutputTokens for the rest.
const (
	// InputTokens is everything that was read, cached or not.
	InputTokens = 66
	// CacheReadTokens are those of InputTokens that came from the cache.
	CacheReadTokens = 33
	// CacheWriteTokens are those of InputTokens that went into the cache.
	CacheWriteTokens = 22
	// ReasoningTokens are reported when the script thinks; they are part of the output.
	ReasoningTokens = 5
)

// OutputTokens is what the answer to s reports as written.
func OutputTokens(s fakeapi.Script) int { return len(s.Deltas()) + 7 }

// Model is what GET /models lists.
const Model = "gpt-fake"

// WebSocket says how the fake answers a request to upgrade.
type WebSocket int32

// How GET /responses is answered.
const (
	// WebSocketOn accepts the connection.
	WebSocketOn WebSocket = 0
	// WebSocketUpgradeRequired answers 426, as an endpoint does that has none.
	WebSocketUpgradeRequired WebSocket = http.StatusUpgradeRequired
	// WebSocketNotFound answers 404, as a server does that never heard of it.
	WebSocketNotFound WebSocket = http.StatusNotFound
)

// Server is a running fake. Its methods are safe for concurrent use.
type Server struct {
	// URL for OPENAI_BASE_URL, with the version.
	URL string
	// Log of the requests so far. A model call over WebSocket is one request
	// with Method "WS".
	Log *fakeapi.Log

	mode     atomic.Int32
	sequence atomic.Int64
	known    atomic.Pointer[[]string]
	listener *fakeapi.Listener
	stop     func() error
	sockets  sync.WaitGroup
	closing  chan struct{}
}

// New starts a fake that ends with the test.
func New(tb testing.TB) *Server {
	tb.Helper()
	s, err := NewServer()
	return fakeapi.ForTest(tb, s, err)
}

// NewServer starts a fake on a free loopback port; the caller closes it.
func NewServer() (s *Server, err error) {
	s = &Server{Log: &fakeapi.Log{}, closing: make(chan struct{})}
	s.stop = sync.OnceValue(s.end)
	if s.listener, err = fakeapi.Listen(s); err != nil {
		return nil, err
	}
	s.URL = s.listener.URL + "/v1"
	return s, nil
}

// SetWebSocket changes how upgrades are answered; open connections stay.
func (s *Server) SetWebSocket(mode WebSocket) { s.mode.Store(int32(mode)) }

// SetModels makes every other model unknown: 404 model_not_found. No names: all
// are known.
func (s *Server) SetModels(names ...string) { s.known.Store(&names) }

func (s *Server) knows(model string) bool {
	names := s.known.Load()
	return names == nil || len(*names) == 0 || slices.Contains(*names, model)
}

// Close cuts all connections and waits for the server's end. From then on
// connections are refused. A second call does nothing.
func (s *Server) Close() error { return s.stop() }

func (s *Server) end() error {
	close(s.closing)
	err := s.listener.Close()
	s.sockets.Wait()
	return err
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has left before it had said what it wants
	}
	entry := &fakeapi.Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: body}
	switch {
	case r.URL.Path == "/v1/responses" && r.Method == http.MethodPost:
		s.post(w, r, entry)
	case r.URL.Path == "/v1/responses" && r.Method == http.MethodGet:
		s.Log.Add(entry)
		if mode := WebSocket(s.mode.Load()); mode != WebSocketOn {
			s.fail(w, failure{status: int(mode), message: "fake API: no WebSocket here"})
			return
		}
		s.upgrade(w, r)
	case r.URL.Path == "/v1/models":
		s.Log.Add(entry)
		writeJSON(w, http.StatusOK, object{"object": "list", "data": []any{
			object{"id": Model, "object": "model", "created": 1700000000, "owned_by": "fake"},
		}})
	default:
		s.Log.Add(entry)
		s.fail(w, failure{status: http.StatusNotFound, message: "fake API: no such route " + r.Method + " " + r.URL.Path})
	}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request, entry *fakeapi.Request) {
	req, err := parse(entry.Body)
	entry.Turn = err == nil
	s.Log.Add(entry)
	if err != nil {
		s.fail(w, failure{status: http.StatusBadRequest, message: "fake API: " + err.Error()})
		return
	}
	leave := s.Log.Enter()
	defer leave()
	a := &answer{server: s, request: req, out: &eventStream{server: s, w: w}, ctx: r.Context()}
	defer func() {
		if p := recover(); p != nil { // a scripted cut
			entry.Finished(false)
			panic(p)
		}
	}()
	entry.Finished(!a.run())
}

// failure is an answer with an HTTP status.
type failure struct {
	status     int
	code       string
	message    string
	retryAfter int // seconds
}

// errorCodes are the API's codes for statuses, where it has one.
var errorCodes = map[int]string{
	401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 529: "overloaded",
}

func (f failure) body() object {
	kind := "invalid_request_error"
	if f.status >= http.StatusInternalServerError {
		kind = "server_error"
	}
	var code any
	if f.code != "" {
		code = f.code
	}
	return object{"message": f.message, "type": kind, "param": nil, "code": code}
}

// ErrorMessage is the text of the error that a script with that status causes.
func ErrorMessage(status int) string { return fmt.Sprintf("fake upstream error %d", status) }

func (s *Server) fail(w http.ResponseWriter, f failure) {
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	w.Header().Set("X-Request-Id", s.id("req"))
	writeJSON(w, f.status, object{"error": f.body()})
}

func (s *Server) id(prefix string) string {
	return fmt.Sprintf("%s_fake_%06d", prefix, s.sequence.Add(1))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has left is noticed by its own test
}

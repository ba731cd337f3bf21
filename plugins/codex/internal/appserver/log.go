package appserver

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// logFilter is the RUST_LOG that makes the app-server log, besides errors, the
// head of each HTTP answer and each failed model call with its thread: neither
// Retry-After nor some statuses are in its messages. The field filter keeps what
// is logged per piece of text out.
const logFilter = "error,codex_http_client::client=debug,codex_otel.log_only[{error.message}]=info"

// LogRecord is what one line of the log told about a thread's model call.
type LogRecord struct {
	Kind LogKind
	// Status is the HTTP status; 0 when the line tells none.
	Status int
	// RetryAfter is how long the model server told to wait; 0: it did not.
	RetryAfter time.Duration
	// Message of a failure.
	Message string
}

// LogKind says what a LogRecord is about.
type LogKind int

// Kinds of records.
const (
	// Answered: the model server answered an HTTP request.
	Answered LogKind = iota + 1
	// StreamFailed: the stream of an answer broke or told an error; the
	// app-server may be about to try again.
	StreamFailed
	// SocketRefused: no WebSocket could be opened.
	SocketRefused
)

type logLine struct {
	Level  string         `json:"level"`
	Target string         `json:"target"`
	Fields map[string]any `json:"fields"`
}

func (l logLine) text(name string) string {
	switch v := l.Fields[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// answerHead is the head of an HTTP answer whose thread is not known yet.
type answerHead struct {
	status     string
	requestID  string
	retryAfter time.Duration
}

// logReader joins lines of the log. It is used by one goroutine.
type logReader struct {
	heads []answerHead // of failed requests, oldest first
	now   func() time.Time
}

// maxHeads bounds the heads that wait for the line that names their thread,
// which follows at once.
const maxHeads = 64

// read takes one line. record is nil when the line tells nothing about a thread;
// plain is set when it is a line for people.
func (r *logReader) read(line string) (thread string, record *LogRecord, plain string) {
	var l logLine
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &l) != nil {
		return "", nil, line
	}
	switch l.Target {
	case "codex_http_client::client":
		r.head(l)
		return "", nil, ""
	case "codex_otel.log_only":
		return l.text("conversation.id"), r.event(l), ""
	}
	return "", nil, strings.TrimSpace(l.Level + " " + l.Target + ": " + l.text("message"))
}

// Patterns of headers in the log's form of a header map.
var (
	headerRetryAfter   = regexp.MustCompile(`"retry-after": "([^"]*)"`)
	headerRetryAfterMS = regexp.MustCompile(`"retry-after-ms": "([^"]*)"`)
	headerRequestID    = regexp.MustCompile(`"x-request-id": "([^"]*)"`)
)

func (r *logReader) head(l logLine) {
	status, _, _ := strings.Cut(l.text("status"), " ")
	if code, err := strconv.Atoi(status); err != nil || code < http.StatusBadRequest {
		return
	}
	headers := l.text("headers")
	h := answerHead{status: status, requestID: first(headerRequestID, headers)}
	if ms, err := strconv.ParseFloat(first(headerRetryAfterMS, headers), 64); err == nil {
		h.retryAfter = time.Duration(ms * float64(time.Millisecond))
	} else {
		h.retryAfter = parseRetryAfter(first(headerRetryAfter, headers), r.now())
	}
	if len(r.heads) == maxHeads {
		r.heads = r.heads[1:]
	}
	r.heads = append(r.heads, h)
}

func (r *logReader) event(l logLine) *LogRecord {
	rec := &LogRecord{Message: l.text("error.message")}
	rec.Status, _ = strconv.Atoi(l.text("http.response.status_code")) // absent: 0
	switch l.text("event.name") {
	case "codex.api_request":
		rec.Kind = Answered
		rec.RetryAfter = r.claim(l.text("http.response.status_code"), l.text("auth.request_id"))
	case "codex.websocket_connect":
		if l.text("success") != "false" {
			return nil
		}
		rec.Kind = SocketRefused
	case "codex.sse_event", "codex.websocket_event", "codex.websocket_request":
		if rec.Message == "" {
			return nil
		}
		rec.Kind = StreamFailed
	default:
		return nil
	}
	return rec
}

// claim finds the head of an answer by its request id, or without one the newest
// of that status.
func (r *logReader) claim(status, requestID string) time.Duration {
	for i := len(r.heads) - 1; i >= 0; i-- {
		if h := r.heads[i]; h.status == status && h.requestID == requestID {
			r.heads = append(r.heads[:i], r.heads[i+1:]...)
			return h.retryAfter
		}
	}
	return 0
}

func first(re *regexp.Regexp, text string) string {
	if m := re.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// maxRetryAfter bounds what is believed: more is a mistake of the server.
const maxRetryAfter = 30 * 24 * time.Hour

// parseRetryAfter reads the header: seconds or a date.
func parseRetryAfter(value string, now time.Time) time.Duration {
	d := time.Duration(0)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 && seconds < maxRetryAfter.Seconds() {
		d = time.Duration(seconds * float64(time.Second))
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	if d < 0 || d > maxRetryAfter {
		return 0
	}
	return d
}

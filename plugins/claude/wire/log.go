package wire

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Failure is what the log said about the last request that failed.
type Failure struct {
	// Status of the API's answer; 0 when there was none.
	Status int
	// Type is the API's word for the error, for example "rate_limit_error".
	Type string
	// Message is the API's own.
	Message string
	// Header of the API's answer, with the names in lower case. Only those that
	// tell when to come back are kept.
	Header map[string]string
}

// RetryAfter is how long the API wants us to wait; 0 when it does not say.
func (f Failure) RetryAfter(now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(f.Header["retry-after-ms"], 64); err == nil && ms > 0 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	text := f.Header["retry-after"]
	if s, err := strconv.ParseFloat(text, 64); err == nil && s > 0 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := http.ParseTime(text); err == nil && at.After(now) {
		return at.Sub(now)
	}
	if unix, err := strconv.ParseInt(f.Header[headerReset], 10, 64); err == nil {
		if at := time.Unix(unix, 0); at.After(now) {
			return at.Sub(now)
		}
	}
	return 0
}

// Headers of subscriptions: whether their limit is reached and until when.
const (
	headerReset  = "anthropic-ratelimit-unified-reset"
	headerStatus = "anthropic-ratelimit-unified-status"
)

// LimitReached says that the account's own limit refused the request, not a
// short-term rate limit.
func (f Failure) LimitReached() bool { return f.Header[headerStatus] == "rejected" }

// LogEnvironment makes the CLI write the log that Log reads; it also needs the
// flag LogFlag. The API's client inside the CLI prints the headers of answers,
// the CLI itself the bodies of errors; credentials and the text of messages are
// in neither.
func LogEnvironment() map[string]string {
	return map[string]string{"CLAUDE_CODE_DEBUG_LOG_LEVEL": "error", "ANTHROPIC_LOG": "debug"}
}

// LogFlag sends the CLI's log to stderr.
const LogFlag = "--debug-to-stderr"

// tailLines and tailLine bound what Tail keeps: about 8 KiB.
const (
	tailLines = 40
	tailLine  = 200
)

// Log understands the CLI's stderr. Its methods may be called concurrently.
type Log struct {
	mu      sync.Mutex
	failure Failure
	failed  bool
	changed chan struct{}
	inBlock bool // inside what the API's client prints over several lines
	headers bool // and that is a failed answer
	tail    []string
}

var (
	apiError   = regexp.MustCompile(`\[ERROR\] API error \(attempt \d+/\d+\): (\S+) (.*)$`)
	headerLine = regexp.MustCompile(`^ {4}"?([A-Za-z0-9-]+)"?: "?(.*?)"?,?$`)
	statusLine = regexp.MustCompile(`^ {2}status: (\d+),?$`)
)

// kept are the headers that Failure keeps.
var kept = map[string]bool{"retry-after": true, "retry-after-ms": true, headerReset: true, headerStatus: true}

// Add takes the next line of stderr.
func (l *Log) Add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.inBlock:
		l.block(line)
	case strings.HasPrefix(line, "[Anthropic SDK "):
		l.inBlock = strings.HasSuffix(line, "{")
		l.headers = l.inBlock && strings.Contains(line, "response error")
		if l.headers {
			l.failure = Failure{Header: map[string]string{}}
		}
	default:
		l.ordinary(line)
	}
}

func (l *Log) block(line string) {
	if line == "}" {
		l.inBlock, l.headers = false, false
		return
	}
	if !l.headers {
		return
	}
	if m := statusLine.FindStringSubmatch(line); m != nil {
		l.failure.Status, _ = strconv.Atoi(m[1]) // digits by the pattern
	}
	if m := headerLine.FindStringSubmatch(line); m != nil && kept[strings.ToLower(m[1])] {
		l.failure.Header[strings.ToLower(m[1])] = m[2]
	}
}

func (l *Log) ordinary(line string) {
	if m := apiError.FindStringSubmatch(line); m != nil {
		l.upstream(m[1], m[2])
	}
	if len(line) > tailLine {
		line = strings.ToValidUTF8(line[:tailLine], "") + "…"
	}
	l.tail = append(l.tail, line)
	if n := len(l.tail); n > tailLines {
		l.tail = append([]string(nil), l.tail[n-tailLines:]...)
	}
}

// upstream takes in an error of the API: its status, and again its status and body.
func (l *Log) upstream(status, text string) {
	code, err := strconv.Atoi(status)
	if err != nil { // "undefined": there was no answer
		l.failure = Failure{}
		l.notify()
		return
	}
	if l.failure.Status != code {
		l.failure = Failure{Status: code}
	}
	_, body, _ := strings.Cut(text, " ")
	var v struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &v) == nil {
		l.failure.Type, l.failure.Message = v.Error.Type, v.Error.Message
	} else {
		l.failure.Message = body
	}
	l.notify()
}

// notify wakes who waits for a failure; the caller holds mu.
func (l *Log) notify() {
	l.failed = true
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Reset forgets the last failure.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure, l.failed = Failure{}, false
}

// Failure returns the last failure. The log and the protocol are two pipes, so it
// waits until there is one, or ctx ends; then ok is false.
func (l *Log) Failure(ctx context.Context) (f Failure, ok bool) {
	for {
		l.mu.Lock()
		f, ok = l.failure, l.failed
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if ok {
			return f, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Failure{}, false
		}
	}
}

// Tail is the end of the log, without what the API's client prints.
func (l *Log) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.tail, "\n")
}

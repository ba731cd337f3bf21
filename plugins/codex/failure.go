package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// turnError is how the CLI says what went wrong.
type turnError struct {
	Message string `json:"message"`
	// Info is a word, or an object of one word and details.
	Info json.RawMessage `json:"codexErrorInfo"`
	// Details hold the real message of a retry notice.
	Details string `json:"additionalDetails"`
}

// info splits Info into its word and the HTTP status, 0 when it tells none.
func (e turnError) info() (word string, status int) {
	if json.Unmarshal(e.Info, &word) == nil {
		return word, 0
	}
	var detailed map[string]struct {
		Status *int `json:"httpStatusCode"`
	}
	if json.Unmarshal(e.Info, &detailed) != nil {
		return "", 0
	}
	for word, d := range detailed {
		if d.Status != nil {
			status = *d.Status
		}
		return word, status
	}
	return "", 0
}

var (
	statusInText = regexp.MustCompile(`(?:unexpected status|last status:) (\d{3})\b`)
	urlInText    = regexp.MustCompile(`, url: \S+?(,|$)`)
	waitInText   = regexp.MustCompile(`(?i)try again in (\d+(?:\.\d+)?)\s*(ms|milliseconds?|s|seconds?|m|minutes?|h|hours?|d|days?)\b`)
)

// failure is the typed error of a failed model call. answered is what the log
// told about the answer of the model server, nil when nothing.
func failure(e turnError, answered *appserver.LogRecord) *plugins.Error {
	word, status := e.info()
	text := e.Message
	if e.Details != "" {
		text = e.Details
	}
	out := &plugins.Error{RetryAfter: waitIn(text)}
	text, inner := unwrapBody(text)
	if status == 0 {
		status = inner.Status
	}
	if m := statusInText.FindStringSubmatch(text); m != nil && status == 0 {
		status, _ = strconv.Atoi(m[1]) // three digits
	}
	if answered != nil && answered.Status >= http.StatusBadRequest {
		status = answered.Status
		if answered.RetryAfter > 0 {
			out.RetryAfter = answered.RetryAfter
		}
	}
	out.Code, out.UpstreamStatus = classify(word, status, text, inner.Error.Code)
	out.Retryable = out.Code == plugins.CodeRateLimited || out.Code == plugins.CodeOverloaded ||
		out.Code == plugins.CodeUpstreamFailure || out.Code == plugins.CodeUpstreamUnreachable
	out.Message = subprocess.Redact(strings.TrimSpace(urlInText.ReplaceAllString(text, "$1")))
	if out.Code == plugins.CodeUnauthenticated {
		out.Message += "; set " + envOpenAIKey + " or run: " + loginCommand
	}
	return out
}

// body is the answer that the CLI passes on as it came.
type body struct {
	Status int `json:"status"` // over WebSocket
	Error  struct {
		Message string `json:"message"`
		Code    string `json:"code"`
	} `json:"error"`
	Detail string `json:"detail"`
}

// unwrapBody finds the message in a text that is a JSON answer.
func unwrapBody(text string) (string, body) {
	var b body
	if !strings.HasPrefix(strings.TrimSpace(text), "{") || json.Unmarshal([]byte(text), &b) != nil {
		return text, body{}
	}
	if b.Status == 0 {
		b.Status = http.StatusBadRequest // the only status whose body is passed on
	}
	switch {
	case b.Error.Message != "":
		return b.Error.Message, b
	case b.Detail != "":
		return b.Detail, b
	}
	return text, b
}

// words are the CLI's own classes, with the status that they stand for.
var words = map[string]struct {
	code   plugins.Code
	status int
}{
	"modelNotFound":         {plugins.CodeNotFound, http.StatusNotFound},
	"contextWindowExceeded": {plugins.CodeInvalidRequest, http.StatusBadRequest},
	"badRequest":            {plugins.CodeInvalidRequest, http.StatusBadRequest},
	"unauthorized":          {plugins.CodeUnauthenticated, http.StatusUnauthorized},
	"usageLimitExceeded":    {plugins.CodeQuotaExhausted, http.StatusTooManyRequests},
	"rateLimitExceeded":     {plugins.CodeRateLimited, http.StatusTooManyRequests},
	"serverOverloaded":      {plugins.CodeOverloaded, http.StatusServiceUnavailable},
	"internalServerError":   {plugins.CodeUpstreamFailure, http.StatusInternalServerError},
	"cyberPolicy":           {plugins.CodeContentPolicy, 0},
}

// classify picks the code of the contract and the status of the model server.
func classify(word string, status int, text, code string) (plugins.Code, int) {
	if unknownModel(text, code) {
		if status == 0 {
			status = http.StatusNotFound
		}
		return plugins.CodeNotFound, status
	}
	if w, ok := words[word]; ok && (status == 0 || word != "internalServerError") {
		if status == 0 {
			status = w.status
		}
		return w.code, status
	}
	if status != 0 {
		byStatus, _ := plugins.CodeOfStatus(status, text)
		return byStatus, status
	}
	lower := strings.ToLower(text)
	switch {
	case word == "httpConnectionFailed", containsAny(lower, "connection failed", "connection refused", "error sending request"):
		return plugins.CodeUpstreamUnreachable, 0
	case strings.HasPrefix(word, "responseStream"), containsAny(lower, "stream disconnected", "idle timeout"):
		return plugins.CodeUpstreamFailure, 0
	case strings.Contains(lower, "rate limit"):
		return plugins.CodeRateLimited, 0
	case strings.Contains(lower, "overloaded"):
		return plugins.CodeOverloaded, 0
	case containsAny(lower, "missing environment variable", "not logged in"):
		return plugins.CodeUnauthenticated, 0
	}
	return plugins.CodeCLIFailure, 0
}

func containsAny(text string, pieces ...string) bool {
	return slices.ContainsFunc(pieces, func(p string) bool { return strings.Contains(text, p) })
}

func unknownModel(text, code string) bool {
	return code == "model_not_found" || strings.Contains(text, "model is not supported when using Codex")
}

// waitIn finds "try again in 1.5s"; 0: there is none.
func waitIn(text string) time.Duration {
	m := waitInText.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0
	}
	unit := time.Second
	switch u := strings.ToLower(m[2]); {
	case u == "ms" || strings.HasPrefix(u, "milli"):
		unit = time.Millisecond
	case strings.HasPrefix(u, "m"):
		unit = time.Minute
	case strings.HasPrefix(u, "h"):
		unit = time.Hour
	case strings.HasPrefix(u, "d"):
		unit = 24 * time.Hour
	}
	const most = 30 * 24 * time.Hour // more would overflow, and is no answer
	if d := n * float64(unit); d < float64(most) {
		return time.Duration(d)
	}
	return 0
}

// crashed is the error of a turn whose app-server ended.
func crashed(client *appserver.Client) *plugins.Error {
	client.Kill() // stdout has ended; the process may hang on
	exit := client.Exit()
	e := &plugins.Error{
		Code: plugins.CodeCLIFailure, Retryable: true, Err: appserver.ErrGone,
		Message:    "codex app-server ended in the middle of the turn: " + exit.String(),
		StderrTail: client.Tail(),
	}
	e.ExitCode = &exit.Code
	return e
}

// rpcFailure is the typed error of a request that the app-server did not do.
func rpcFailure(client *appserver.Client, err error) error {
	if errors.Is(err, appserver.ErrGone) {
		return crashed(client)
	}
	rpc, ok := errors.AsType[*appserver.RPCError](err)
	switch {
	case !ok:
		return err
	case rpc.Overloaded():
		return &plugins.Error{Code: plugins.CodeOverloaded, Message: err.Error(), Retryable: true, Err: err}
	case strings.Contains(rpc.Message, "input exceeds") || strings.Contains(string(rpc.Data), "input_too_large"):
		return plugins.Errorf(plugins.CodeTooLarge, "the prompt is too long for the CLI: %w", err)
	}
	return plugins.Errorf(plugins.CodeCLIFailure, "the Codex CLI refused the turn: %w", err)
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

const (
	// maxRetries is how often the CLI itself may ask again. Its own default is ten
	// times, up to three minutes, for 401 too. With one it tells the failure of the
	// first attempt at once, and whether it may go on is decided here.
	maxRetries = 1
	// quickRetry is the longest wait before that retry, which is 500 to 650 ms
	// when the provider asks for none: the error has to be out within two seconds.
	quickRetry = 900 * time.Millisecond
	// logPatience is how long the log may lag behind the protocol.
	logPatience = 250 * time.Millisecond
)

const notLoggedIn = "Claude Code is not logged in: run " + loginRemedy + ", or set ANTHROPIC_API_KEY for clinvk"

// worthRetrying says that the CLI's one retry may run: a passing fault of the
// provider, nothing said yet, and no wait asked for.
func worthRetrying(r *wire.Retry, f wire.Failure, answered bool) bool {
	if answered || r.DelayMS > float64(quickRetry.Milliseconds()) || f.RetryAfter(time.Now()) > 0 {
		return false
	}
	return r.Status == nil || *r.Status >= http.StatusInternalServerError
}

// trouble is what is known about a failed request.
type trouble struct {
	status  int    // of the provider's answer; 0: none
	kind    string // the CLI's word
	text    string // what the CLI says
	log     wire.Failure
	delay   time.Duration // that the CLI wanted to wait; 0: it did not say
	partial bool          // something of the answer was received
	stderr  string
}

// upstream asks the log for the failure with that status.
func (p *process) upstream(ctx context.Context, status int) wire.Failure {
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	f, ok := p.log.Failure(ctx)
	if !ok || f.Status != status {
		return wire.Failure{}
	}
	return f
}

// err maps the trouble to the contract's codes.
func (t trouble) err() *plugins.Error {
	e := &plugins.Error{UpstreamStatus: t.status, Message: t.message()}
	e.Code, e.Retryable = codeOf(t)
	if e.Code == plugins.CodeUnauthenticated && t.status == 0 {
		e.Message = notLoggedIn
	}
	switch e.Code { //nolint:exhaustive // the others carry nothing more
	case plugins.CodeRateLimited, plugins.CodeQuotaExhausted, plugins.CodeOverloaded, plugins.CodeUpstreamFailure:
		e.RetryAfter = t.log.RetryAfter(time.Now())
		if e.RetryAfter == 0 && t.delay > quickRetry {
			// The log says it exactly; without it the CLI's own wait is the
			// provider's, lengthened by up to a quarter.
			e.RetryAfter = t.delay.Truncate(time.Second)
		}
	case plugins.CodeCLIFailure:
		e.StderrTail = t.stderr
	}
	return e
}

func (t trouble) message() string {
	switch {
	case t.log.Message != "" && t.status != 0:
		return fmt.Sprintf("Anthropic answered %d: %s", t.status, t.log.Message)
	case t.text != "":
		return t.text
	case t.status != 0:
		return fmt.Sprintf("Anthropic answered %d", t.status)
	case t.partial:
		return "the connection to Anthropic was lost in the middle of the answer"
	}
	return "the request to Anthropic failed"
}

// codeOf is the one place where statuses and the CLI's words become codes.
func codeOf(t trouble) (code plugins.Code, retryable bool) {
	if t.log.Type == "overloaded_error" {
		return plugins.CodeOverloaded, true
	}
	if t.kind == "billing_error" || t.log.LimitReached() {
		return plugins.CodeQuotaExhausted, false
	}
	if t.status == 0 {
		return codeWithoutStatus(t)
	}
	return plugins.CodeOfStatus(t.status, t.log.Message)
}

// unreachable are the CLI's words for a connection that never was.
var unreachable = []string{"Unable to connect", "Connection refused", "ConnectionRefused", "ECONNREFUSED", "ENOTFOUND", "EHOSTUNREACH", "FailedToOpenSocket"}

func codeWithoutStatus(t trouble) (code plugins.Code, retryable bool) {
	switch {
	case t.kind == "authentication_failed" || t.kind == "oauth_org_not_allowed":
		return plugins.CodeUnauthenticated, false
	case strings.Contains(t.text, "Prompt is too long"):
		return plugins.CodeTooLarge, false
	case t.partial:
		return plugins.CodeUpstreamFailure, true
	}
	for _, words := range unreachable {
		if strings.Contains(t.text, words) {
			return plugins.CodeUpstreamUnreachable, true
		}
	}
	switch t.kind {
	case "rate_limit":
		return plugins.CodeRateLimited, true
	case "overloaded":
		return plugins.CodeOverloaded, true
	case "server_error":
		return plugins.CodeUpstreamFailure, true
	case "invalid_request":
		return plugins.CodeInvalidRequest, false
	case "model_not_found":
		return plugins.CodeNotFound, false
	}
	return plugins.CodeCLIFailure, false
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// completed takes the end of the turn.
func (r *run) completed(params json.RawMessage) (bool, error) {
	var p struct {
		Turn struct {
			ID     string     `json:"id"`
			Status string     `json:"status"`
			Error  *turnError `json:"error"`
		} `json:"turn"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return false, fmt.Errorf("reading the end of a turn: %w", err)
	}
	if p.Turn.ID != r.turnID {
		return false, nil
	}
	if p.Turn.Status == "completed" {
		return true, nil
	}
	over := &turnOver{status: p.Turn.Status}
	switch {
	case p.Turn.Error != nil:
		over.cause = *p.Turn.Error
	case r.failed != nil:
		over.cause = *r.failed
	}
	return false, over
}

// result makes the error, or the finish, of a turn that did not complete.
func (r *run) result(ctx context.Context, over *turnOver) error {
	if over.status == "interrupted" && over.cause.Message == "" {
		return plugins.Errorf(plugins.CodeCLIFailure, "the Codex CLI interrupted the turn by itself")
	}
	if r.tooEarly(over.cause) {
		return nil
	}
	f := failure(over.cause, r.answered)
	if r.answered == nil && (f.Retryable || f.Code == plugins.CodeCLIFailure) && f.Code != plugins.CodeUpstreamUnreachable {
		r.awaitLog(ctx) // it may tell how long to wait, or the status
		f = failure(over.cause, r.answered)
	}
	return f
}

// awaitLog waits for the line of the log that has the head of the answer: it
// comes by another pipe.
func (r *run) awaitLog(ctx context.Context) {
	timer := time.NewTimer(logTime)
	defer timer.Stop()
	for r.answered == nil {
		select {
		case <-r.inbox.Ready():
		case <-timer.C:
			return
		case <-r.client.Gone():
			return
		case <-ctx.Done():
			return
		}
		events, _ := r.inbox.Take()
		for _, e := range events {
			if e.Log != nil {
				r.logged(e.Log)
			}
		}
	}
}

// incomplete knows the ends that are no failures.
func incomplete(message string) (plugins.FinishReason, bool) {
	_, reason, ok := strings.Cut(message, "Incomplete response returned, reason: ")
	switch {
	case !ok:
		return 0, false
	case strings.HasPrefix(reason, "max_output_tokens"):
		return plugins.FinishLength, true
	case strings.HasPrefix(reason, "content_filter"):
		return plugins.FinishContentFilter, true
	}
	return 0, false
}

// tooEarly says that what looks like a failure is the end of an answer that was cut
// short, and takes its reason.
func (r *run) tooEarly(e turnError) bool {
	for _, text := range []string{e.Message, e.Details} {
		if reason, ok := incomplete(text); ok {
			r.finish = reason
			return true
		}
	}
	return false
}

// logged takes what the log told.
func (r *run) logged(l *appserver.LogRecord) {
	switch l.Kind {
	case appserver.Answered:
		r.answered = l
	case appserver.SocketRefused: // a warning follows
	case appserver.StreamFailed:
		if r.socket && !r.fellBack && r.failed == nil {
			r.failed = &turnError{Message: l.Message}
			r.wait(silence, errWaiting)
		}
	}
}

func (r *run) wait(d time.Duration, then error) {
	r.waitError = then
	r.waitFor.Reset(d)
}

// errored takes the notice of a failure: the last one, or one after which the
// CLI tries again.
func (r *run) errored(params json.RawMessage) error {
	var p struct {
		TurnID    string    `json:"turnId"`
		Error     turnError `json:"error"`
		WillRetry bool      `json:"willRetry"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading an error of the CLI: %w", err)
	}
	if p.TurnID != r.turnID {
		return nil
	}
	first := r.failed == nil
	r.failed = &p.Error
	if !p.WillRetry {
		return nil // the end of the turn follows
	}
	if r.tooEarly(p.Error) {
		return errFinished
	}
	f := failure(p.Error, r.answered)
	// The CLI would send the answer from its beginning once more.
	hopeless := !f.Retryable || r.out.Answered()
	if hopeless {
		return f
	}
	if first {
		r.wait(retryTime, f)
	}
	return nil
}

// fallback begins the notice that the CLI gives up on WebSocket and repeats the
// request; the reason follows.
const fallback = "Falling back from WebSockets to HTTPS transport. "

func (r *run) warned(params json.RawMessage) error {
	var p struct {
		Message string `json:"message"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading a warning of the CLI: %w", err)
	}
	reason, ok := strings.CutPrefix(p.Message, fallback)
	if !ok {
		return nil // about the CLI's own affairs, such as a model that it does not know
	}
	r.waitFor.Stop()
	r.fellBack, r.failed = true, nil
	if r.tooEarly(turnError{Message: reason}) {
		return errFinished
	}
	if r.out.Answered() {
		return failure(turnError{Message: reason}, r.answered)
	}
	return nil
}

// counted takes the usage, which comes after each model call.
func (r *run) counted(params json.RawMessage) error {
	var p struct {
		TurnID string `json:"turnId"`
		Usage  struct {
			Total tokenUsage `json:"total"`
			Last  tokenUsage `json:"last"`
		} `json:"tokenUsage"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return fmt.Errorf("reading the usage: %w", err)
	}
	if r.uncounted && p.TurnID == r.turnID {
		r.uncounted, r.before = false, p.Usage.Total.since(p.Usage.Last)
	}
	used := p.Usage.Total.since(r.before)
	if p.TurnID != r.turnID || used == (tokenUsage{}) {
		return nil // a failed answer is counted as nothing
	}
	r.used = p.Usage.Total
	r.steps++
	if err := r.begin(); err != nil {
		return err
	}
	if err := r.out.Usage(used.report()); err != nil {
		return err
	}
	called := r.called
	r.called = false
	return r.checkSteps(called)
}

// checkSteps ends a turn that has called a tool after its last model call.
func (r *run) checkSteps(called bool) error {
	if called && r.turn.MaxSteps > 0 && r.steps >= r.turn.MaxSteps {
		r.finish = plugins.FinishLength
		return errFinished
	}
	return nil
}

// waitedFailure is the error of a wait that is not worth it.
func (r *run) waitedFailure() error {
	cause := turnError{Message: http.StatusText(http.StatusBadGateway)}
	if r.failed != nil {
		cause = *r.failed
	}
	return failure(cause, r.answered)
}

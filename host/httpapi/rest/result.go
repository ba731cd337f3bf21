package rest

import (
	"net/http"

	"github.com/clinvk/clinvk/host/compose"
	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
)

// result is one of several answers. Members of the other verbs are left out.
type result struct {
	Index    *int   `json:"index,omitempty"`
	TaskID   string `json:"task_id,omitempty"`
	TaskName string `json:"task_name,omitempty"`
	Step     int    `json:"step,omitempty"`
	Name     string `json:"name,omitempty"`

	ExecutionID  string   `json:"execution_id"`
	Backend      string   `json:"backend"`
	Model        string   `json:"model"`
	ExitCode     int      `json:"exit_code"`
	DurationMS   int64    `json:"duration_ms"`
	Output       string   `json:"output"`
	FinishReason *string  `json:"finish_reason"`
	TokenUsage   usage    `json:"token_usage"`
	Error        *failure `json:"error"`
	Ignored      []string `json:"ignored,omitempty"`
}

// resultOf describes an outcome; t is its turn.
func resultOf(o compose.Outcome, t *engine.Turn) result {
	r := result{
		ExecutionID: o.ID, Backend: o.Backend, Model: o.Model, DurationMS: o.Duration.Milliseconds(),
		Output: o.Text, Ignored: ignoredFields(o.Ignored),
	}
	if r.Backend == "" {
		r.Backend, r.Model = t.Backend, t.Model
	}
	if c := o.Completed; c != nil {
		reason := c.Reason.String()
		r.FinishReason, r.TokenUsage = &reason, usageOf(c.Usage)
		if c.Model != "" {
			r.Model = c.Model
		}
		return r
	}
	f := failureOf(o.Err)
	r.Error, r.ExitCode = &f, exitGeneral
	if f.ExitCode != nil && *f.ExitCode != 0 {
		r.ExitCode = *f.ExitCode
	}
	if o.Err.Usage != nil {
		r.TokenUsage = usageOf(*o.Err.Usage)
	}
	return r
}

// exitGeneral is the exit code of what failed without a process that has one.
const exitGeneral = 1

func failureOf(err *engine.Error) failure {
	p := httpapi.NewProblem(&http.Request{}, err)
	return failure{p.Code, p.Detail, p.RetryAfterMS, p.ExitCode, p.StderrTail}
}

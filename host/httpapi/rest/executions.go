package rest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/near"
)

// Executions knows the turns of all dialects.
type Executions interface {
	Executions(owner string, f engine.Filter) []engine.Record
	Execution(owner, id string) (engine.Record, error)
	Cancel(ctx context.Context, owner, id string) (engine.Record, error)
}

// execution is what is told about one.
type execution struct {
	ID           string   `json:"id"`
	State        string   `json:"state"`
	Backend      string   `json:"backend"`
	Model        string   `json:"model"`
	Mode         string   `json:"mode"`
	Dialect      string   `json:"dialect"`
	SessionID    string   `json:"session_id,omitempty"`
	RequestID    string   `json:"request_id"`
	QueuedAt     *string  `json:"queued_at"`
	StartedAt    *string  `json:"started_at"`
	FirstTokenAt *string  `json:"first_token_at"`
	EndedAt      *string  `json:"ended_at"`
	TokenUsage   usage    `json:"token_usage"`
	FinishReason *string  `json:"finish_reason"`
	Error        *failure `json:"error"`
}

func executionOf(r engine.Record) execution {
	out := execution{
		ID: r.ID, State: string(r.State), Backend: r.Backend, Model: r.Model, Mode: r.Mode.String(), Dialect: r.Dialect,
		SessionID: r.Session, RequestID: r.RequestID, QueuedAt: at(r.Queued), StartedAt: at(r.Started),
		FirstTokenAt: at(r.FirstToken), EndedAt: at(r.Ended), TokenUsage: usageOf(r.Usage),
	}
	if r.Reason != 0 {
		reason := r.Reason.String()
		out.FinishReason = &reason
	}
	if r.Err != nil {
		f := failureOf(r.Err)
		out.Error = &f
	}
	return out
}

// at is a time in JSON; nil: it has not come.
func at(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format(time.RFC3339Nano)
	return &text
}

// How many executions are listed.
const (
	defaultListed = 100
	maxListed     = 1000
)

func (d *Dialect) executions(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	f, err := filterOf(r.URL.Query())
	if err != nil {
		return err
	}
	d.list(w, r, f)
	return nil
}

// list answers with the executions that a filter takes.
func (d *Dialect) list(w http.ResponseWriter, r *http.Request, f engine.Filter) {
	out := struct {
		Executions []execution `json:"executions"`
	}{[]execution{}}
	for _, record := range d.engine.Executions(httpapi.Owner(r), f) {
		out.Executions = append(out.Executions, executionOf(record))
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", out)
}

// filterOf reads the parameters of a list. One that is not known is an error: the list
// would hold what the client wants to be without.
func filterOf(q url.Values) (engine.Filter, error) {
	f := engine.Filter{
		State: engine.State(q.Get("state")), Backend: q.Get("backend"), Session: q.Get("session_id"), RequestID: q.Get("request_id"),
		Limit: defaultListed,
	}
	known := []string{"state", "backend", "session_id", "request_id", "limit"}
	for name := range q {
		if !slices.Contains(known, name) {
			return f, bad(name, "unknown parameter %q%s", name, near.DidYouMean(name, known))
		}
	}
	if f.State != "" && !slices.Contains(engine.States(), f.State) {
		return f, bad("state", "state is %q; it must be queued, running, completed, failed or cancelled", f.State)
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxListed {
			return f, bad("limit", "limit is %q; it must be a number between 1 and %d", text, maxListed)
		}
		f.Limit = n
	}
	return f, nil
}

func (d *Dialect) execution(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.engine.Execution(httpapi.Owner(r), p.ByName("id"))
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", executionOf(record))
	return nil
}

// cancel ends an execution; the body of the request is of no interest.
func (d *Dialect) cancel(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.engine.Cancel(r.Context(), httpapi.Owner(r), p.ByName("id"))
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", executionOf(record))
	return nil
}

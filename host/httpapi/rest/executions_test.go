package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

// ledger knows one execution of nobody's, and notes what it is asked.
type ledger struct {
	parrot
	filter engine.Filter
	owner  string
}

var known = engine.Record{
	ID: "turn_1", State: engine.StateFailed, RequestID: "req_1", Dialect: "openai", Backend: "echo", Model: "echo/m", Mode: engine.ModeChat,
	Session: "s", Queued: time.Unix(1, 0), Started: time.Unix(2, 0), Ended: time.Unix(3, 500),
	Err: &engine.Error{Code: engine.CodeOverloaded, Message: "too much"},
}

func (l *ledger) Executions(owner string, f engine.Filter) []engine.Record {
	l.owner, l.filter = owner, f
	return []engine.Record{known, {ID: "turn_0", State: engine.StateCompleted, Mode: engine.ModeAgent, Queued: time.Unix(0, 1), Reason: engine.FinishInterrupted}}
}

func (*ledger) Execution(_, id string) (engine.Record, error) {
	if id != known.ID {
		return engine.Record{}, engine.Errorf(engine.CodeNotFound, "there is no execution %q", id)
	}
	return known, nil
}

func (l *ledger) Cancel(_ context.Context, owner, id string) (engine.Record, error) {
	if id == "turn_over" {
		return engine.Record{}, engine.Errorf(engine.CodeConflict, "it is over: its state is completed")
	}
	return l.Execution(owner, id)
}

// ask sends a request of any method to a dialect over an engine.
func ask(t *testing.T, e rest.Engine, method, path, body string) (status int, answer []byte) {
	t.Helper()
	server := dialecttest.Serve(t, rest.New(rest.Config{Engine: e}))
	q, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func TestExecutions(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, schema string
		status                     int
		want                       string
	}{
		{"one", http.MethodGet, "/executions/turn_1", "Execution", 200, `"ended_at":"1970-01-01T00:00:03.0000005Z"`},
		{"its error", http.MethodGet, "/executions/turn_1", "Execution", 200, `"error":{"code":"overloaded","message":"too much"}`},
		{"none", http.MethodGet, "/executions/turn_2", "Problem", 404, `"code":"not_found"`},
		{"cancel", http.MethodPost, "/executions/turn_1/cancel", "Execution", 200, `"state":"failed"`},
		{"cancel none", http.MethodPost, "/executions/turn_2/cancel", "Problem", 404, `"code":"not_found"`},
		{"cancel what is over", http.MethodPost, "/executions/turn_over/cancel", "Problem", 409, `its state is completed`},
		{"an unknown state", http.MethodGet, "/executions?state=open", "Problem", 400, `it must be queued, running, completed, failed or cancelled`},
		{"an unknown parameter", http.MethodGet, "/executions?stat=running", "Problem", 400, `did you mean \"state\"?`},
		{"no limit", http.MethodGet, "/executions?limit=0", "Problem", 400, `between 1 and 1000`},
		{"a limit that is too large", http.MethodGet, "/executions?limit=1001", "Problem", 400, `between 1 and 1000`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := ask(t, &ledger{}, tt.method, tt.path, "")
			dialecttest.Valid(t, tt.schema, answer)
			if status != tt.status || !strings.Contains(string(answer), tt.want) {
				t.Errorf("%d %s", status, answer)
			}
		})
	}
}

func TestExecutionsAreFiltered(t *testing.T) {
	l := &ledger{}
	status, answer := ask(t, l, http.MethodGet, "/executions?state=failed&backend=echo&session_id=s&request_id=r&limit=7", "")
	want := engine.Filter{State: engine.StateFailed, Backend: "echo", Session: "s", RequestID: "r", Limit: 7}
	if diff := cmp.Diff(want, l.filter); diff != "" || status != http.StatusOK {
		t.Errorf("%d %s", status, diff)
	}
	var list struct{ Executions []json.RawMessage }
	if err := json.Unmarshal(answer, &list); err != nil || len(list.Executions) != 2 {
		t.Fatalf("%v: %s", err, answer)
	}
	for _, x := range list.Executions {
		dialecttest.Valid(t, "Execution", x)
	}
	if ask(t, l, http.MethodGet, "/executions", ""); l.filter != (engine.Filter{Limit: 100}) {
		t.Errorf("without parameters: %+v", l.filter)
	}
}

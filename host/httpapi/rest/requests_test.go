package rest_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
	"github.com/clinvk/clinvk/host/httpapi/rest"
)

// waiter answers when its turn is cancelled.
type waiter struct {
	parrot
	began chan struct{}
}

func (w *waiter) Execute(_ context.Context, t *engine.Turn) (*engine.Execution, error) {
	close(w.began)
	step := 0
	return engine.Replay("turn_1", t.Backend, t.Model, func() (engine.Event, error) {
		switch step++; step {
		case 1:
			return &engine.TextDelta{Text: "a piece"}, nil
		case 2:
			<-t.Cancelled
			return &engine.Completed{Reason: engine.FinishInterrupted}, nil
		}
		return nil, io.EOF
	}), nil
}

// TestCancelRequest ends requests that run several turns: what runs is interrupted, and
// what waits for its place is not tried.
func TestCancelRequest(t *testing.T) {
	for _, tt := range []struct{ name, path, body, want string }{
		{
			"parallel", "/parallel", `{"max_parallel": 1, "tasks": [{"backend": "echo", "prompt": "a"}, {"backend": "echo", "prompt": "b"}]}`,
			`"output":"a piece","finish_reason":"interrupted"|"error":{"code":"cancelled","message":"not tried because the request was cancelled"}`,
		},
		{
			"chain", "/chain", `{"steps": [{"backend": "echo", "prompt": "a"}, {"backend": "echo", "prompt": "b"}]}`,
			`"failed_step":2|"output":"a piece","finish_reason":"interrupted"`,
		},
		{
			"compare", "/compare", `{"backends": ["echo", "two"], "sequential": true, "prompt": "a"}`,
			`"output":"a piece","finish_reason":"interrupted"|"error":{"code":"cancelled","message":"not tried because the request was cancelled"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &waiter{began: make(chan struct{})}
			server := dialecttest.Serve(t, rest.New(rest.Config{Engine: w}))
			do := func(path, id, body string) (int, string) {
				q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1"+path, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				q.Header.Set("Content-Type", "application/json")
				q.Header.Set("X-Request-Id", id)
				response, err := http.DefaultClient.Do(q)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				defer response.Body.Close()
				answer, err := io.ReadAll(response.Body)
				if err != nil {
					t.Error(err)
				}
				return response.StatusCode, string(answer)
			}
			answered := make(chan string, 1)
			go func() {
				_, answer := do(tt.path, "mine", tt.body)
				answered <- answer
			}()
			<-w.began
			if status, answer := do("/requests/another/cancel", "", ""); status != http.StatusNotFound {
				t.Errorf("another request: %d %s", status, answer)
			}
			status, answer := do("/requests/mine/cancel", "", "")
			dialecttest.Valid(t, "Executions", []byte(answer))
			if status != http.StatusOK {
				t.Errorf("%d %s", status, answer)
			}
			got := <-answered
			for want := range strings.SplitSeq(tt.want, "|") {
				if !strings.Contains(got, want) {
					t.Errorf("%s is not in %s", want, got)
				}
			}
			if status, answer := do("/requests/mine/cancel", "", ""); status != http.StatusNotFound {
				t.Errorf("when it is over: %d %s", status, answer)
			}
		})
	}
}

// book knows one execution that runs, and notes which it is asked to cancel.
type book struct {
	parrot
	cancelled []string
}

func (*book) Executions(_ string, f engine.Filter) []engine.Record {
	if f.RequestID != "req_1" {
		return nil
	}
	return []engine.Record{{ID: "turn_2", State: engine.StateRunning, Mode: engine.ModeChat}, {ID: "turn_1", State: engine.StateCompleted, Mode: engine.ModeChat}}
}

func (b *book) Cancel(_ context.Context, _, id string) (engine.Record, error) {
	b.cancelled = append(b.cancelled, id)
	return engine.Record{ID: id}, nil
}

// TestCancelRequestOfOne ends what runs of a request with one turn.
func TestCancelRequestOfOne(t *testing.T) {
	b := &book{}
	status, answer := ask(t, b, http.MethodPost, "/requests/req_1/cancel", "")
	dialecttest.Valid(t, "Executions", answer)
	if diff := cmp.Diff([]string{"turn_2"}, b.cancelled); diff != "" || status != http.StatusOK {
		t.Errorf("%d %s\n%s", status, answer, diff)
	}
	status, answer = ask(t, b, http.MethodPost, "/requests/req_2/cancel", "")
	dialecttest.Valid(t, "Problem", answer)
	if status != http.StatusNotFound {
		t.Errorf("%d %s", status, answer)
	}
}

//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/harness"
)

// composed is the answer of a verb that runs several turns.
type composed struct {
	TotalTasks      int   `json:"total_tasks"`
	Completed       int   `json:"completed"`
	Failed          int   `json:"failed"`
	CompletedSteps  int   `json:"completed_steps"`
	TotalDurationMS int64 `json:"total_duration_ms"`
	Results         []struct {
		TaskID     string `json:"task_id"`
		Backend    string `json:"backend"`
		Output     string `json:"output"`
		DurationMS int64  `json:"duration_ms"`
		Error      *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"results"`
}

// compose asks a verb of the REST dialect.
func (w *world) compose(t *testing.T, verb string, body any) (out composed) {
	t.Helper()
	if status := request(t, http.MethodPost, w.server.URL+"/api/v1/"+verb, body, &out); status != http.StatusOK {
		t.Fatalf("status %d: %+v", status, out)
	}
	return out
}

// calls are the model calls of all fakes whose body holds text.
func (w *world) calls(text string) (out []*fakeapi.Request) {
	for _, b := range realBackends {
		out = append(out, w.upstream(b).find(text)...)
	}
	return out
}

// peak is how many of these calls were being answered at one time.
func peak(calls []*fakeapi.Request) (most int) {
	for _, c := range calls {
		n := 0
		for _, other := range calls {
			if !other.At.After(c.At) && (other.Done().IsZero() || other.Done().After(c.At)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

type fields map[string]any

// TestParallel: nine tasks on the three real CLIs, three at a time, in order.
func TestParallel(t *testing.T) {
	n := nonce()
	var tasks []fields
	for i := range 9 {
		tasks = append(tasks, fields{
			"id": fmt.Sprint(i), "backend": realBackends[i%3], "mode": "chat",
			"prompt": fmt.Sprintf("%s-%d [[tokens=%d gap=30ms]]", n, i, i+2),
		})
	}
	got := shared.compose(t, "parallel", fields{"tasks": tasks, "max_parallel": 3})
	if got.TotalTasks != 9 || got.Completed != 9 || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
	for i, r := range got.Results {
		want := script(t, fmt.Sprintf("[[tokens=%d]]", i+2)).Answer()
		if r.TaskID != fmt.Sprint(i) || r.Backend != realBackends[i%3] || r.Output != want {
			t.Errorf("%d: %+v, want %q", i, r, want)
		}
	}
	calls := shared.calls(n)
	if p := peak(calls); len(calls) != 9 || p > 3 {
		t.Errorf("%d calls, %d at a time", len(calls), p)
	}
}

// TestParallelFailsFast: the first failure ends the calls that run, and the tasks that
// wait are never tried.
func TestParallelFailsFast(t *testing.T) {
	n := nonce()
	task := func(backend, script string) fields {
		return fields{"backend": backend, "mode": "chat", "prompt": n + " [[" + script + "]]"}
	}
	got := shared.compose(t, "parallel", fields{"fail_fast": true, "max_parallel": 3, "tasks": []fields{
		task("claude", "tokens=1000 gap=50ms"), task("codex", "tokens=1000 gap=50ms"), task("gemini", "first=2s status=400"), task("claude", "tokens=1"),
	}})
	if got.Completed != 0 || got.Failed != 4 {
		t.Errorf("%+v", got)
	}
	for _, i := range []int{0, 1, 3} {
		if e := got.Results[i].Error; e == nil || e.Code != "cancelled" {
			t.Errorf("%d: %+v", i, e)
		}
	}
	failed := got.Results[2]
	if failed.Error == nil || failed.Error.Code == "cancelled" {
		t.Errorf("the one that failed: %+v", failed.Error)
	}
	calls := shared.calls(n)
	if len(calls) != 3 {
		t.Fatalf("%d calls, the last task must not be tried", len(calls))
	}
	// The others end within 250 ms of the failure, as they see it upstream.
	var failure time.Time
	for _, c := range shared.upstream("gemini").find(n) {
		failure = c.Done()
	}
	for _, b := range []string{"claude", "codex"} {
		for _, c := range shared.upstream(b).find(n) {
			wait(t, b+" to leave", func() bool { return !c.Gone().IsZero() })
			if after := c.Gone().Sub(failure); !failure.IsZero() && after > 250*time.Millisecond+slack {
				t.Errorf("%s went on for %v", b, after)
			}
		}
	}
}

// slack is for machines that do other work besides.
const slack = 500 * time.Millisecond

// TestChain hands the answer of one real CLI to the next.
func TestChain(t *testing.T) {
	n := nonce()
	got := shared.compose(t, "chain", fields{"steps": []fields{
		{"backend": "claude", "mode": "chat", "name": "first", "prompt": n + " one [[tokens=2]]"},
		{"backend": "codex", "mode": "chat", "prompt": n + " two ({{previous}}) [[tokens=3]]"},
		{"backend": "gemini", "mode": "chat", "prompt": n + " three ({{steps.first.output}}) ({{previous}}) [[tokens=1]]"},
	}})
	if got.CompletedSteps != 3 || got.Results[2].Output != "tok0 " {
		t.Fatalf("%+v", got)
	}
	for backend, want := range map[string]string{"codex": "two (tok0 tok1 )", "gemini": "three (tok0 tok1 ) (tok0 tok1 tok2 )"} {
		if calls := shared.upstream(backend).find(n + " " + want); len(calls) != 1 {
			t.Errorf("%s: %d calls with %q", backend, len(calls), want)
		}
	}
}

// TestCompareWithOneDown asks all backends the same while one of them cannot answer.
func TestCompareWithOneDown(t *testing.T) {
	w := newWorld(t, harness.Options{Config: "backends: {codex: {command: /nonexistent/codex}}\n"})
	n := nonce()
	got := w.compose(t, "compare", fields{"prompt": n + " [[tokens=2]]", "mode": "chat", "backends": []string{"claude", "codex", "gemini", "echo"}})
	for _, r := range got.Results {
		switch {
		case r.Backend == "codex":
			if r.Error == nil || r.Error.Message == "" || r.Error.Code == "internal" {
				t.Errorf("codex: %+v", r)
			}
		case r.Error != nil || r.Output == "":
			t.Errorf("%s: %+v", r.Backend, r)
		}
	}
	// Without names only those are asked that could answer.
	got = w.compose(t, "compare", fields{"prompt": n + " again [[tokens=2]]", "mode": "chat"})
	var asked []string
	for _, r := range got.Results {
		asked = append(asked, r.Backend)
	}
	if !slices.Equal(asked, []string{"claude", "echo", "gemini"}) {
		t.Errorf("asked %v", asked)
	}
}

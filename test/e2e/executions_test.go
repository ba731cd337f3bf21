//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// execution is what REST tells about one.
type execution struct {
	ID           string  `json:"id"`
	State        string  `json:"state"`
	Dialect      string  `json:"dialect"`
	Backend      string  `json:"backend"`
	RequestID    string  `json:"request_id"`
	StartedAt    *string `json:"started_at"`
	EndedAt      *string `json:"ended_at"`
	FinishReason *string `json:"finish_reason"`
	Usage        struct {
		Output *int64 `json:"output_tokens"`
	} `json:"token_usage"`
	Error *struct {
		Code string `json:"code"`
	} `json:"error"`
}

// caller sends requests with a key and a request id.
type caller struct {
	url, key, id string
}

func (c caller) send(t *testing.T, method, path string, body any) *http.Response {
	t.Helper()
	var in io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	q, err := http.NewRequestWithContext(t.Context(), method, c.url+path, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		q.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.id != "" {
		q.Header.Set("X-Request-Id", c.id)
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// get reads an answer into out and returns its status.
func (c caller) get(t *testing.T, method, path string, body, out any) int {
	t.Helper()
	response := c.send(t, method, path, body)
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return response.StatusCode
}

// list asks for the executions that a query chooses.
func (c caller) list(t *testing.T, query string) []execution {
	t.Helper()
	var list struct{ Executions []execution }
	if status := c.get(t, http.MethodGet, "/api/v1/executions?"+query, nil, &list); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	return list.Executions
}

// cancel ends an execution.
func (c caller) cancel(t *testing.T, id string) (execution, int) {
	t.Helper()
	var x execution
	status := c.get(t, http.MethodPost, "/api/v1/executions/"+id+"/cancel", nil, &x)
	return x, status
}

// long is a prompt that the slow model takes two seconds for.
var long = strings.Repeat("word ", 40)

func TestCancelOfAStream(t *testing.T) {
	c := caller{url: shared.server.URL, id: nonce()}
	response := c.send(t, http.MethodPost, "/api/v1/prompt", map[string]any{"backend": "echo", "model": "slow", "prompt": long, "output_format": "stream-json"})
	id := response.Header.Get("X-Clinvk-Execution")
	lines, last, words := bufio.NewScanner(response.Body), "", 0
	for lines.Scan() {
		if lines.Text() != "" {
			last = lines.Text()
		}
		if !strings.Contains(last, `"type":"message"`) {
			continue
		}
		if words++; words > 1 {
			continue
		}
		x, status := c.cancel(t, id)
		if status != http.StatusOK || x.State != "cancelled" || x.FinishReason == nil || *x.FinishReason != "interrupted" || x.EndedAt == nil || x.Usage.Output == nil {
			t.Errorf("%d %+v", status, x)
		}
	}
	if response.StatusCode != http.StatusOK || words == 0 || words >= 40 || !strings.Contains(last, `"type":"done"`) || !strings.Contains(last, `"finish_reason":"interrupted"`) {
		t.Errorf("status %d, %d words, %s", response.StatusCode, words, last)
	}
	if _, status := c.cancel(t, id); status != http.StatusConflict {
		t.Errorf("the second cancel: %d", status)
	}
	if _, status := c.cancel(t, "turn_0"); status != http.StatusNotFound {
		t.Errorf("the cancel of none: %d", status)
	}
}

// TestCancelInAllDialects cancels a turn whose client waits for the whole answer, and
// finds it by the id of the request.
func TestCancelInAllDialects(t *testing.T) {
	messages := []map[string]string{{"role": "user", "content": long}}
	for _, tt := range []struct {
		name, path, text string
		body             map[string]any
	}{
		{"rest", "/api/v1/prompt", `"finish_reason":"interrupted"`, map[string]any{"backend": "echo", "model": "slow", "prompt": long}},
		{"openai", "/openai/v1/chat/completions", `"finish_reason":"length"`, map[string]any{"model": "echo/slow", "messages": messages}},
		{"openai-responses", "/openai/v1/responses", `"status":"incomplete"`, map[string]any{"model": "echo/slow", "input": long}},
		{"anthropic", "/anthropic/v1/messages", `"stop_reason":"max_tokens"`, map[string]any{"model": "echo/slow", "max_tokens": 1000, "messages": messages}},
		{"rest", "/api/v1/compare", `"finish_reason":"interrupted"`, map[string]any{"backends": []string{"echo"}, "models": map[string]string{"echo": "slow"}, "prompt": long}},
	} {
		t.Run(tt.path, func(t *testing.T) {
			c := caller{url: shared.server.URL, id: nonce()}
			answer := make(chan string, 1)
			go func() {
				response := c.send(t, http.MethodPost, tt.path, tt.body)
				text, err := io.ReadAll(response.Body)
				if err != nil {
					t.Error(err)
				}
				answer <- response.Status + " " + string(text)
			}()
			id := c.running(t)
			x, status := c.cancel(t, id)
			if status != http.StatusOK || x.State != "cancelled" || x.Dialect != tt.name || x.RequestID != c.id {
				t.Errorf("%d %+v", status, x)
			}
			if got := <-answer; !strings.HasPrefix(got, "200 ") || !strings.Contains(got, tt.text) || !strings.Contains(got, "word") {
				t.Errorf("the answer: %s", got)
			}
		})
	}
}

// running waits until something runs for the caller's request.
func (c caller) running(t *testing.T) (id string) {
	t.Helper()
	wait(t, "the turn to run", func() bool {
		found := c.list(t, "state=running&request_id="+c.id)
		if len(found) == 1 {
			id = found[0].ID
		}
		return id != ""
	})
	// The first word must be there for there to be something of an answer.
	wait(t, "its first word", func() bool {
		var x struct {
			First *string `json:"first_token_at"`
		}
		c.get(t, http.MethodGet, "/api/v1/executions/"+id, nil, &x)
		return x.First != nil
	})
	return id
}

// TestCancelOfWhatWaits also shows that nobody sees the executions of another key.
func TestCancelOfWhatWaits(t *testing.T) {
	w := newWorld(t, harness.Options{
		Env:    map[string]string{"CLINVK_API_KEYS": "key-of-one-user,key-of-another"},
		Config: "limits:\n  max_concurrent: 1\n",
	})
	one, other := caller{w.server.URL, "key-of-one-user", "runs"}, caller{w.server.URL, "key-of-another", "waits"}
	ask := func(c caller) <-chan *http.Response {
		out := make(chan *http.Response, 1)
		go func() {
			out <- c.send(t, http.MethodPost, "/api/v1/prompt", map[string]any{"backend": "echo", "model": "slow", "prompt": long})
		}()
		return out
	}
	first := ask(one)
	id := one.running(t)
	second := ask(other)
	var queued []execution
	wait(t, "the second turn to wait", func() bool {
		queued = other.list(t, "state=queued")
		return len(queued) == 1
	})
	if all := one.list(t, ""); len(all) != 1 || all[0].ID != id {
		t.Errorf("one user sees %+v", all)
	}
	if _, status := one.cancel(t, queued[0].ID); status != http.StatusNotFound {
		t.Errorf("one user's cancel of what another has: %d", status)
	}
	x, status := other.cancel(t, queued[0].ID)
	if status != http.StatusOK || x.State != "cancelled" || x.StartedAt != nil || x.Error == nil || x.Error.Code != "cancelled" {
		t.Errorf("%d %+v", status, x)
	}
	response := <-second
	if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 499 || !strings.Contains(string(text), `"code":"cancelled"`) {
		t.Errorf("%s %s", response.Status, text)
	}
	if x, status := one.cancel(t, id); status != http.StatusOK || x.State != "cancelled" {
		t.Errorf("%d %+v", status, x)
	}
	if response := <-first; response.StatusCode != http.StatusOK {
		t.Errorf("the first turn: %s", response.Status)
	}
}

func TestManyExecutions(t *testing.T) {
	const many = 64
	c := caller{url: shared.server.URL, id: nonce()}
	tasks := make([]map[string]any, many)
	for i := range tasks {
		tasks[i] = map[string]any{"backend": "echo", "model": "slow", "mode": "chat", "prompt": "a b c"}
	}
	done := make(chan int, 1)
	go func() {
		var answer struct{ Completed int }
		c.get(t, http.MethodPost, "/api/v1/parallel", map[string]any{"tasks": tasks, "max_parallel": many}, &answer)
		done <- answer.Completed
	}()
	most := 0
	wait(t, "all of them", func() bool {
		all := c.list(t, "limit=1000&request_id="+c.id)
		most = max(most, len(all))
		return len(all) == many
	})
	if n := <-done; n != many || most != many {
		t.Errorf("%d completed, %d were listed", n, most)
	}
	ids := map[string]bool{}
	for _, x := range c.list(t, "limit=1000&state=completed&request_id="+c.id) {
		ids[x.ID] = true
	}
	if few := c.list(t, "limit=3&request_id="+c.id); len(ids) != many || len(few) != 3 {
		t.Errorf("%d completed and %d of 3 are listed", len(ids), len(few))
	}
}

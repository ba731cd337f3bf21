//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// TestSessionErrors: each mistake is told in the dialect's form, with what to do.
func TestSessionErrors(t *testing.T) {
	k := &keeper{world: shared}
	one := k.prompt(t, fields{"backend": "echo", "prompt": "one"}).SessionID
	for _, name := range []string{"twins-a", "twins-b"} {
		if status, _, body := exchange(t, http.MethodPost, shared.server.URL+"/openai/v1/chat/completions",
			`{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}`, map[string]string{"X-Clinvk-Session": name}); status != 200 {
			t.Fatal(body)
		}
	}
	const chat, messages = `{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}`, `{"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}`
	bad := map[string]string{"X-Clinvk-Session": "no/name"}
	mine := map[string]string{"X-Clinvk-Session": one}
	for _, tt := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		want                     []string
	}{
		{"unknown", "POST", "/api/v1/prompt", `{"session_id": "nothere", "prompt": "x"}`, nil, 404, []string{`"code":"not_found"`, `no session \"nothere\"`, `"pointer":"/session_id"`, "sessions list"}},
		{"ambiguous", "POST", "/api/v1/prompt", `{"session_id": "twins-", "prompt": "x"}`, nil, 400, []string{"several sessions begin with", "give more of"}},
		{"no id", "POST", "/api/v1/prompt", `{"session_id": "../x", "prompt": "x"}`, nil, 400, []string{"1 to 64 letters", `"pointer":"/session_id"`}},
		{"fork of nothing", "POST", "/api/v1/prompt", `{"fork": true, "prompt": "x"}`, nil, 400, []string{`"pointer":"/fork"`, "set session_id"}},
		{"ephemeral", "POST", "/api/v1/prompt", `{"session_id": "` + one + `", "ephemeral": true, "prompt": "x"}`, nil, 400, []string{`"pointer":"/ephemeral"`, "leave one of them out"}},
		{"long title", "POST", "/api/v1/prompt", `{"title": "` + strings.Repeat("x", 201) + `", "prompt": "x"}`, nil, 400, []string{`"pointer":"/title"`, "201 characters"}},
		{"empty tag", "POST", "/api/v1/prompt", `{"tags": ["a", ""], "prompt": "x"}`, nil, 400, []string{`"pointer":"/tags/1"`}},
		{"a task", "POST", "/api/v1/parallel", `{"tasks": [{"backend": "echo", "session_id": "` + one + `", "prompt": "x"}]}`, nil, 400, []string{`"pointer":"/tasks/0/session_id"`}},
		{"a step", "POST", "/api/v1/chain", `{"steps": [{"backend": "echo", "session_id": "` + one + `", "prompt": "x"}]}`, nil, 400, []string{`"pointer":"/steps/0/session_id"`}},
		{"compare", "POST", "/api/v1/compare", `{"backends": ["echo"], "session_id": "` + one + `", "prompt": "x"}`, nil, 400, []string{`"pointer":"/session_id"`}},
		{"unknown parameter", "GET", "/api/v1/sessions?backed=echo", "", nil, 400, []string{`did you mean \"backend\"`}},
		{"limit", "GET", "/api/v1/sessions?limit=1001", "", nil, 400, []string{"from 1 to 1000"}},
		{"offset", "GET", "/api/v1/sessions?offset=-1", "", nil, 400, []string{"offset is"}},
		{"show unknown", "GET", "/api/v1/sessions/nothere", "", nil, 404, []string{"no session"}},
		{"show ambiguous", "GET", "/api/v1/sessions/twins-", "", nil, 400, []string{"several sessions"}},
		{"change by prefix", "PATCH", "/api/v1/sessions/" + one[:6], `{"title": "x"}`, nil, 404, []string{"no session"}},
		{"change what is not", "PATCH", "/api/v1/sessions/" + one, `{"titel": "x"}`, nil, 400, []string{`did you mean \"title\"`}},
		{"change to too many tags", "PATCH", "/api/v1/sessions/" + one, `{"tags": [` + strings.Repeat(`"a",`, 32) + `"b"]}`, nil, 400, []string{"there may be 32"}},
		{"change to a long title", "PATCH", "/api/v1/sessions/" + one, `{"title": "` + strings.Repeat("x", 201) + `"}`, nil, 400, []string{`"pointer":"/title"`}},
		{"change to long metadata", "PATCH", "/api/v1/sessions/" + one, `{"metadata": {"k": "` + strings.Repeat("x", 513) + `"}}`, nil, 400, []string{`"pointer":"/metadata/k"`}},
		{"long search", "GET", "/api/v1/sessions?q=" + strings.Repeat("x", 1001), "", nil, 400, []string{"it may have 1000"}},
		{"no number", "GET", "/api/v1/sessions?limit=ten", "", nil, 400, []string{"limit is"}},
		{"responses, no id", "POST", "/openai/v1/responses", `{"model": "echo", "input": "x"}`, bad, 400, []string{"1 to 64 letters"}},
		{"unknown parameter of executions", "GET", "/api/v1/executions?stat=running", "", nil, 400, []string{`did you mean \"state\"`}},
		{"change without type", "PATCH", "/api/v1/sessions/" + one, `{"title": "x"}`, map[string]string{"Content-Type": "text/plain"}, 415, []string{"application/json"}},
		{"delete by prefix", "DELETE", "/api/v1/sessions/" + one[:6], "", nil, 404, []string{"no session"}},
		{"from a web page", "DELETE", "/api/v1/sessions/" + one, "", map[string]string{"Origin": "http://evil.example"}, 403, nil},
		{"openai", "POST", "/openai/v1/chat/completions", chat, bad, 400, []string{`"type":"invalid_request_error"`, "1 to 64 letters"}},
		{"openai, several choices", "POST", "/openai/v1/chat/completions", `{"n": 2, ` + chat[1:], mine, 400, []string{`"param":"n"`}},
		{"openai, nothing new", "POST", "/openai/v1/chat/completions", `{"model": "echo", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}`, mine, 400, []string{"continued with one of the user"}},
		{"responses", "POST", "/openai/v1/responses", `{"model": "echo", "input": "x", "previous_response_id": "resp_x"}`, mine, 400, []string{"previous_response_id"}},
		{"anthropic", "POST", "/anthropic/v1/messages", messages, bad, 400, []string{`"type":"invalid_request_error"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, _, body := exchange(t, tt.method, shared.server.URL+tt.path, tt.body, tt.header)
			if status != tt.status {
				t.Errorf("status %d, want %d: %s", status, tt.status, body)
			}
			for _, want := range tt.want {
				if !strings.Contains(body, want) {
					t.Errorf("%s is not in %s", want, body)
				}
			}
		})
	}
}

// TestSessionBusy: a session has one turn at a time.
func TestSessionBusy(t *testing.T) {
	k := &keeper{world: shared}
	id := k.prompt(t, fields{"backend": "echo", "prompt": "one"}).SessionID
	done := make(chan kept, 1)
	go func() {
		defer close(done) // also when it fails
		done <- k.prompt(t, fields{"session_id": id, "backend": "echo", "model": "slow", "prompt": strings.Repeat("word ", 400)})
	}()
	var list struct{ Executions []struct{ ID string } }
	wait(t, "the turn to run", func() bool {
		request(t, http.MethodGet, shared.server.URL+"/api/v1/executions?state=running&session_id="+id, nil, &list)
		return len(list.Executions) == 1
	})
	for name, do := range map[string]func() (int, http.Header, string){
		"rest": func() (int, http.Header, string) {
			return exchange(t, "POST", shared.server.URL+"/api/v1/prompt", `{"session_id": "`+id+`", "prompt": "x"}`, nil)
		},
		"openai": func() (int, http.Header, string) {
			return exchange(t, "POST", shared.server.URL+"/openai/v1/chat/completions", `{"model": "echo", "messages": [{"role": "user", "content": "hi"}]}`, map[string]string{"X-Clinvk-Session": id})
		},
		"anthropic": func() (int, http.Header, string) {
			return exchange(t, "POST", shared.server.URL+"/anthropic/v1/messages", `{"model": "echo", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}`, map[string]string{"X-Clinvk-Session": id})
		},
		"delete": func() (int, http.Header, string) {
			return exchange(t, "DELETE", shared.server.URL+"/api/v1/sessions/"+id, "", nil)
		},
	} {
		if status, _, body := do(); status != http.StatusConflict || !strings.Contains(body, "has a turn under way") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if r := k.prompt(t, fields{"session_id": id, "fork": true, "prompt": "a branch"}); r.SessionID == id {
		t.Error("the branch is the session")
	}
	if status := request(t, http.MethodPost, shared.server.URL+"/api/v1/executions/"+list.Executions[0].ID+"/cancel", nil, nil); status != http.StatusOK {
		t.Errorf("cancel: %d", status)
	}
	if r := <-done; r.FinishReason != "interrupted" {
		t.Errorf("%+v", r)
	}
	k.prompt(t, fields{"session_id": id, "prompt": "next"})
}

// TestSessionList: what there is can be chosen from, and pages add up.
func TestSessionList(t *testing.T) {
	k := &keeper{world: shared}
	tag, dir := nonce(), t.TempDir()
	ids := map[string]string{}
	for _, word := range []string{"apple", "pear", "plum"} {
		ids[word] = k.prompt(t, fields{"backend": "echo", "prompt": "a " + word + " " + tag, "tags": []string{tag}, "workdir": dir, "metadata": map[string]string{"k": word}}).SessionID
	}
	failing := `{"session_id": "` + ids["pear"] + `", "backend": "echo", "model": "fail", "prompt": "overloaded"}`
	if status, _, body := exchange(t, http.MethodPost, shared.server.URL+"/api/v1/prompt", failing, nil); status == http.StatusOK {
		t.Errorf("the turn that is to fail answers %s", body)
	}
	for query, want := range map[string][]string{
		"":                                {"plum", "pear", "apple"},
		"limit=2":                         {"plum", "pear"},
		"limit=2&offset=2":                {"apple"},
		"q=appl":                          {"apple"},
		"q=" + url.QueryEscape("a "+tag):  {"plum", "pear", "apple"},
		"q=nowhere":                       {},
		"status=error":                    {"pear"},
		"status=active&q=p":               {"plum"},
		"backend=echo":                    {"plum", "pear", "apple"},
		"backend=claude":                  {},
		"workdir=" + url.QueryEscape(dir): {"plum", "pear", "apple"},
		"workdir=/nowhere":                {},
	} {
		var page struct {
			Sessions []struct {
				ID       string
				Metadata map[string]string
			}
			Total int
		}
		if status := request(t, http.MethodGet, shared.server.URL+"/api/v1/sessions?tag="+tag+"&"+query, nil, &page); status != http.StatusOK {
			t.Errorf("%s: status %d", query, status)
		}
		var got []string
		for _, s := range page.Sessions {
			got = append(got, s.Metadata["k"])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || !strings.Contains(query, "limit") && page.Total != len(want) || strings.Contains(query, "limit") && page.Total != 3 {
			t.Errorf("%s: %q of %d, want %q", query, got, page.Total, want)
		}
	}
}

// TestSessionTools: a tool's call and its result are two turns of a session.
func TestSessionTools(t *testing.T) {
	header := map[string]string{"X-Clinvk-Session": nonce()}
	const tools = `"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]`
	status, _, body := exchange(t, http.MethodPost, shared.server.URL+"/openai/v1/chat/completions",
		`{"model": "echo/tool", "messages": [{"role": "user", "content": "what is it like"}], `+tools+`}`, header)
	var answer struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct {
				ToolCalls []struct{ ID string } `json:"tool_calls"`
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || len(answer.Choices[0].Message.ToolCalls) == 0 {
		t.Fatalf("%d %v %s", status, err, body)
	}
	// Only the result is sent: the session has the call.
	result := `{"model": "echo/tool", "messages": [{"role": "tool", "tool_call_id": "` + answer.Choices[0].Message.ToolCalls[0].ID + `", "content": "rain"}], ` + tools + `}`
	if status, _, body := exchange(t, http.MethodPost, shared.server.URL+"/openai/v1/chat/completions", result, header); status != http.StatusOK || !strings.Contains(body, "rain") {
		t.Errorf("%d %s", status, body)
	}
}

// TestSessionOwners: who has another key sees other sessions.
func TestSessionOwners(t *testing.T) {
	s, err := harness.Start(harness.Options{Bin: bin, Config: "plugins: {allow: [echo]}\n", Env: map[string]string{"CLINVK_API_KEYS": "alpha,beta"}, Check: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	alpha, beta := map[string]string{"X-Api-Key": "alpha"}, map[string]string{"X-Api-Key": "beta"}
	var r kept
	_, _, body := exchange(t, http.MethodPost, s.URL+"/api/v1/prompt", `{"backend": "echo", "prompt": "mine"}`, alpha)
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.SessionID == "" {
		t.Fatalf("%v %s", err, body)
	}
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/sessions/" + r.SessionID, "", 404},
		{"PATCH", "/api/v1/sessions/" + r.SessionID, `{"title": "x"}`, 404},
		{"DELETE", "/api/v1/sessions/" + r.SessionID, "", 404},
		{"POST", "/api/v1/prompt", `{"session_id": "` + r.SessionID + `", "prompt": "x"}`, 404},
		{"GET", "/api/v1/executions/" + r.ExecutionID, "", 404},
		{"POST", "/api/v1/executions/" + r.ExecutionID + "/cancel", "", 404},
		{"POST", "/api/v1/prompt", `{"session_id": "` + r.SessionID + `", "fork": true, "prompt": "x"}`, 404},
	} {
		if status, _, body := exchange(t, tt.method, s.URL+tt.path, tt.body, beta); status != tt.status {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, status, body)
		}
	}
	if _, _, body := exchange(t, http.MethodGet, s.URL+"/api/v1/sessions", "", beta); !strings.Contains(body, `"total":0`) {
		t.Errorf("beta sees %s", body)
	}
	if _, _, body := exchange(t, http.MethodGet, s.URL+"/api/v1/sessions", "", alpha); !bytes.Contains([]byte(body), []byte(`"total":1`)) {
		t.Errorf("alpha sees %s", body)
	}
	if status, _, _ := exchange(t, http.MethodGet, s.URL+"/api/v1/sessions", "", nil); status != http.StatusUnauthorized {
		t.Errorf("without a key: %d", status)
	}
}

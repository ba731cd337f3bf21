//go:build unix

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// kept is the answer of POST /api/v1/prompt, or its problem.
type kept struct {
	Status       int    `json:"-"`
	SessionID    string `json:"session_id"`
	ExecutionID  string `json:"execution_id"`
	Backend      string `json:"backend"`
	Output       string `json:"output"`
	FinishReason string `json:"finish_reason"`
	Code         string `json:"code"`
	Detail       string `json:"detail"`
}

// exchange sends a request and returns what was answered.
func exchange(t *testing.T, method, url, body string, header map[string]string) (int, http.Header, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		q.Header.Set(k, v)
	}
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// request sends a request to a server and reads its JSON into out; nil: it is not read.
func request(t *testing.T, method, url string, body, out any) (status int) {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	status, _, answer := exchange(t, method, url, string(text), nil)
	if out != nil {
		if err := json.Unmarshal([]byte(answer), out); err != nil {
			t.Fatalf("status %d: %v\n%s", status, err, answer)
		}
	}
	return status
}

// keeper is a server whose home outlives it, with fakes that outlive it, too.
type keeper struct {
	*world
	home string
}

func newKeeper(t *testing.T) *keeper {
	t.Helper()
	k := newHome(t)
	k.start(t)
	t.Cleanup(func() {
		if err := k.server.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(k.server.Log(), 8000))
		}
	})
	return k
}

// newHome is a keeper whose server does not run.
func newHome(t *testing.T) *keeper {
	t.Helper()
	f, err := newFakes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	return &keeper{world: &world{fakes: f}, home: shortDir(t)}
}

// shortDir makes a directory whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "clv-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// noSpares saves the starts of CLIs that a test would not use.
const noSpares = "backends: {claude: {warm: 0}, codex: {warm: 0}, gemini: {warm: 0}}\n"

func (k *keeper) start(t *testing.T) {
	t.Helper()
	s, err := harness.Start(harness.Options{Bin: bin, Env: k.fakes.environment(), Home: k.home, Check: true, Config: noSpares})
	if err != nil {
		t.Fatal(err)
	}
	k.server = s
}

// restart ends the server, as an operator or as a crash does, and starts it anew.
func (k *keeper) restart(t *testing.T, crash bool) {
	t.Helper()
	if crash {
		k.server.Kill()
	}
	err := k.server.Close()
	if err != nil && !crash {
		t.Error(err)
	}
	k.start(t)
}

// prompt runs a prompt; it must work.
func (k *keeper) prompt(t *testing.T, body fields) (r kept) {
	t.Helper()
	if r.Status = request(t, http.MethodPost, k.server.URL+"/api/v1/prompt", body, &r); r.Status != http.StatusOK {
		t.Fatalf("status %d: %s", r.Status, r.Detail)
	}
	return r
}

// saw checks that the model call with the last of these texts holds all of them, in
// this order and each once.
func (k *keeper) saw(t *testing.T, backend string, want ...string) {
	t.Helper()
	calls := k.upstream(backend).find(want[len(want)-1])
	if len(calls) == 0 {
		t.Fatalf("%s was not asked", backend)
	}
	_, messages := k.upstream(backend).conversation(calls[len(calls)-1])
	var all strings.Builder
	for _, m := range messages {
		fmt.Fprintf(&all, "<%s>%s\n", m.Role, m.Text)
	}
	rest := all.String()
	for _, w := range want {
		_, after, ok := strings.Cut(rest, w)
		if !ok {
			t.Fatalf("%q is missing, or not where it should be, in\n%s", w, all.String())
		}
		rest = after
		if strings.Count(all.String(), w) != 1 {
			t.Errorf("%q is there %d times in\n%s", w, strings.Count(all.String(), w), all.String())
		}
	}
}

// say is a prompt that the fake answers with a word of its own.
func say(word string) (prompt, answer string) {
	answer = "answer-" + word + "-" + nonce()
	return word + "-" + nonce() + " [[text=b64:" + base64.StdEncoding.EncodeToString([]byte(answer)) + "]]", answer
}

// question is the part of a prompt that no CLI changes.
func question(prompt string) string { return strings.Fields(prompt)[0] }

// TestSessions: a conversation of three turns with each CLI, over two restarts of the
// server, one of them a crash; then a branch.
func TestSessions(t *testing.T) {
	for _, mode := range []string{"agent", "chat"} {
		t.Run(mode, func(t *testing.T) {
			k := newKeeper(t)
			workdir := t.TempDir()
			type talk struct {
				id   string
				said []string
			}
			talks := map[string]*talk{}
			turn := func(t *testing.T, backend, word string, more fields) kept {
				t.Helper()
				prompt, answer := say(word)
				body := fields{"prompt": prompt, "backend": backend, "mode": mode, "workdir": workdir}
				for key, value := range more {
					body[key] = value
				}
				c := talks[backend]
				if c == nil {
					c = &talk{}
					talks[backend] = c
				} else {
					body["session_id"] = c.id
				}
				r := k.prompt(t, body)
				if r.Output != answer {
					t.Errorf("output %q, want %q", r.Output, answer)
				}
				said := slices.Concat(c.said, []string{question(prompt)})
				k.saw(t, backend, said...)
				if more["fork"] == nil {
					if c.id != "" && r.SessionID != c.id {
						t.Errorf("session %s, want %s", r.SessionID, c.id)
					}
					c.id, c.said = r.SessionID, slices.Concat(said, []string{answer})
				}
				return r
			}
			each := func(what string, crash bool, f func(t *testing.T, backend string)) {
				if what != "first" {
					k.restart(t, crash)
				}
				for _, backend := range realBackends {
					t.Run(what+"/"+backend, func(t *testing.T) { f(t, backend) })
				}
			}
			each("first", false, func(t *testing.T, b string) { turn(t, b, "one", nil) })
			each("after restart", false, func(t *testing.T, b string) { turn(t, b, "two", nil) })
			each("after crash", true, func(t *testing.T, b string) {
				turn(t, b, "three", nil)
				branch := turn(t, b, "branch", fields{"fork": true})
				if branch.SessionID == talks[b].id {
					t.Error("the branch is the session itself")
				}
				turn(t, b, "four", nil)
				var full struct {
					Turns      int `json:"turns"`
					Transcript []struct{ Turn int }
				}
				if request(t, http.MethodGet, k.server.URL+"/api/v1/sessions/"+talks[b].id[:8], nil, &full); full.Turns != 4 || len(full.Transcript) != 4 {
					t.Errorf("%+v", full)
				}
				if status := request(t, http.MethodDelete, k.server.URL+"/api/v1/sessions/"+talks[b].id, nil, nil); status != http.StatusNoContent {
					t.Errorf("status %d", status)
				}
				if status := request(t, http.MethodGet, k.server.URL+"/api/v1/sessions/"+talks[b].id, nil, nil); status != http.StatusNotFound {
					t.Errorf("status %d", status)
				}
			})
		})
	}
}

// TestHandOver: the conversation goes from one CLI to the next with its history.
func TestHandOver(t *testing.T) {
	for _, mode := range []string{"agent", "chat"} {
		t.Run(mode, func(t *testing.T) {
			k := &keeper{world: shared}
			workdir := t.TempDir()
			var id string
			var said []string
			for _, backend := range append(realBackends, "claude") {
				prompt, answer := say("to-" + backend)
				r := k.prompt(t, fields{"prompt": prompt, "backend": backend, "mode": mode, "session_id": id, "workdir": workdir})
				if r.Output != answer || id != "" && r.SessionID != id {
					t.Errorf("%+v", r)
				}
				said = append(said, question(prompt))
				k.saw(t, backend, said...)
				id, said = r.SessionID, append(said, answer)
			}
		})
	}
}

// TestCancelThenContinue: a turn that is cancelled answers with what there was, and its
// session goes on from there.
func TestCancelThenContinue(t *testing.T) {
	for _, mode := range []string{"agent", "chat"} {
		for _, backend := range realBackends {
			t.Run(mode+"/"+backend, func(t *testing.T) {
				k := &keeper{world: shared}
				prompt, answer := say("one")
				first := k.prompt(t, fields{"prompt": prompt, "backend": backend, "mode": mode, "workdir": t.TempDir()})
				n := nonce()
				done := make(chan kept, 1)
				go func() {
					defer close(done) // also when it fails
					done <- k.prompt(t, fields{
						"prompt": n + " [[tokens=50 gap=5ms hangat=20]]", "session_id": first.SessionID,
					})
				}()
				var running struct {
					Executions []struct {
						ID         string
						FirstToken *string `json:"first_token_at"`
					}
				}
				wait(t, "the answer to begin", func() bool {
					request(t, http.MethodGet, k.server.URL+"/api/v1/executions?state=running&session_id="+first.SessionID, nil, &running)
					return len(running.Executions) == 1 && running.Executions[0].FirstToken != nil
				})
				if status := request(t, http.MethodPost, k.server.URL+"/api/v1/executions/"+running.Executions[0].ID+"/cancel", nil, nil); status != http.StatusOK {
					t.Fatalf("status %d", status)
				}
				r := <-done
				if r.FinishReason != "interrupted" || r.Output == "" {
					t.Errorf("%+v", r)
				}
				next, _ := say("three")
				if got := k.prompt(t, fields{"prompt": next, "session_id": first.SessionID}); got.SessionID != first.SessionID {
					t.Errorf("%+v", got)
				}
				k.saw(t, backend, question(prompt), answer, n, strings.TrimSpace(r.Output), question(next))
			})
		}
	}
}

// TestSessionHoldsWhatToolsDid: in agent mode the CLI's own session goes on, over
// restarts and turns that fail: it alone knows what its tools printed.
func TestSessionHoldsWhatToolsDid(t *testing.T) {
	k := newKeeper(t)
	workdir := t.TempDir()
	ids, printed := map[string]string{}, map[string]string{}
	fails := map[string]int{"claude": 1, "codex": 2, "gemini": 1} // codex is asked once more
	turn := func(t *testing.T, backend, prompt string) {
		t.Helper()
		ids[backend] = k.prompt(t, fields{
			"prompt": prompt, "backend": backend, "session_id": ids[backend], "workdir": workdir, "approval_mode": "none", "sandbox_mode": "full",
		}).SessionID
	}
	for _, backend := range realBackends {
		t.Run("first/"+backend, func(t *testing.T) {
			printed[backend] = nonce()
			half := len(printed[backend]) / 2 // so that the call does not hold it
			name, args := shellTool[backend]("echo " + printed[backend][:half] + "''" + printed[backend][half:])
			raw, err := json.Marshal(args)
			if err != nil {
				t.Fatal(err)
			}
			turn(t, backend, "one [[tool="+name+" args=b64:"+base64.StdEncoding.EncodeToString(raw)+"]]")
		})
	}
	for _, word := range []string{"two", "three"} {
		k.restart(t, word == "three")
		for _, backend := range realBackends {
			t.Run(word+"/"+backend, func(t *testing.T) {
				n := nonce()
				turn(t, backend, n)
				calls := k.upstream(backend).find(n)
				if len(calls) == 0 || !bytes.Contains(calls[len(calls)-1].Body, []byte(printed[backend])) {
					t.Errorf("%d calls, and the last does not hold what the tool printed", len(calls))
				}
				failing := fields{
					"prompt": fmt.Sprintf("%s [[status=429 retry_after=60 fails=%d]]", nonce(), fails[backend]), "session_id": ids[backend], "workdir": workdir, "approval_mode": "none", "sandbox_mode": "full",
				}
				if status := request(t, http.MethodPost, k.server.URL+"/api/v1/prompt", failing, nil); status == http.StatusOK {
					t.Error("the turn that is to fail works")
				}
			})
		}
	}
}

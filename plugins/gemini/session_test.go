package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	"github.com/clinvk/clinvk/plugins/gemini/internal/kept"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

// again is another process of the same plugin.
func (s *system) again(t *testing.T) *system {
	t.Helper()
	other := &system{backend: newBackend(), api: s.api, scratch: t.TempDir(), state: s.state}
	other.client = backendtest.Connect(t, other.backend)
	configure(t, other, withWarm(0))
	t.Cleanup(func() { _ = other.backend.Close(context.Background()) })
	return other
}

func create() *backendv1.Session {
	return &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_CREATE}
}

func resume(token []byte, held uint32) *backendv1.Session {
	return &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_RESUME, Token: token, MessagesHeld: held}
}

func fork(token []byte, held uint32) *backendv1.Session {
	return &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_FORK, Token: token, MessagesHeld: held}
}

// conversation is a turn of an agent that may do anything.
func conversation(dir string, session *backendv1.Session, messages ...*backendv1.Message) *backendv1.Start {
	start := agent(dir, askNone, boxFull, messages...)
	start.Session = session
	return start
}

// keep runs a turn that must end with a token, and returns its last model call.
func (s *system) keep(t *testing.T, start *backendv1.Start) (*backendtest.Result, *fakeapi.Request) {
	t.Helper()
	r := s.run(t, start)
	if r.Completed == nil || len(r.Completed.GetSessionToken()) == 0 {
		t.Fatalf("completed %v, failed %v, %v", r.Completed, r.Failed, r.Err)
	}
	turns := s.api.Log.Turns()
	return r, turns[len(turns)-1]
}

// contents are a request's, one part of them a line, without what the CLI says on its
// own account.
func contents(t *testing.T, r *fakeapi.Request) []string {
	t.Helper()
	var request struct {
		Contents []struct {
			Role  string
			Parts []map[string]any
		}
	}
	if err := json.Unmarshal(r.Body, &request); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, c := range request.Contents {
		for _, p := range c.Parts {
			if text, _ := p["text"].(string); strings.HasPrefix(text, "<session_context>") {
				continue
			}
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, c.Role+" "+string(b))
		}
	}
	return out
}

func line(role, text string) string {
	b, _ := json.Marshal(map[string]string{"text": text})
	return role + " " + string(b)
}

// texts are the texts that reached the API.
func texts(r *fakeapi.Request) []string {
	_, messages := gemini.Conversation(r)
	var out []string
	for _, m := range messages {
		for _, p := range m.Parts {
			if p.Text != "" {
				out = append(out, m.Role+":"+p.Text)
			}
		}
	}
	return out
}

// list is the sessions of a directory, or all.
func (s *system) list(t *testing.T, dir string) []*backendv1.SessionInfo {
	t.Helper()
	l, err := s.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{WorkingDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return l.GetSessions()
}

// file is where a session is kept.
func (s *system) file(token []byte) string {
	return filepath.Join(s.state, "sessions", string(token)+".jsonl")
}

// TestSession goes on with a session in another process: the model sees all that the
// agent did, not only what the messages tell.
func TestSession(t *testing.T) {
	s, dir := common(t), t.TempDir()
	prompt := "/write " + toolScript("write_file", `{"file_path":"b.txt","content":"<b> $HOME"}`) +
		toolScript("run_shell_command", `{"command":"cat b.txt"}`) + "[[think=2]]"
	start := conversation(dir, create(), user(prompt))
	start.System = "be brief"
	first, req := s.keep(t, start)
	before := contents(t, req)
	if len(before) != 6 || !strings.Contains(before[5], `\u003cb\u003e $HOME`) {
		t.Fatalf("the agent did not work: %q", before)
	}

	s = s.again(t)
	start = conversation(dir, resume(first.Completed.GetSessionToken(), 2), user(prompt), assistant(first.Text), user("?more"))
	start.System = "be brief"
	second, req := s.keep(t, start)
	want := slices.Concat(before, []string{line("model", first.Text), line("user", "?more")})
	if diff := cmp.Diff(want, contents(t, req)); diff != "" {
		t.Errorf("conversation (-want +got):\n%s", diff)
	}
	if n := len(s.list(t, dir)); n != 1 {
		t.Errorf("%d sessions are kept, want the last state only", n)
	}

	// A third turn, whose session is gone, has the messages only.
	if err := os.Remove(s.file(second.Completed.GetSessionToken())); err != nil {
		t.Fatal(err)
	}
	messages := []*backendv1.Message{user(prompt), assistant(first.Text), user("?more"), assistant(second.Text), user("last")}
	third, req := s.keep(t, conversation(dir, resume(second.Completed.GetSessionToken(), 4), messages...))
	want = []string{line("user", prompt), line("model", first.Text), line("user", "?more"), line("model", second.Text), line("user", "last")}
	if diff := cmp.Diff(want, contents(t, req)); diff != "" {
		t.Errorf("conversation without the session (-want +got):\n%s", diff)
	}
	if string(third.Completed.GetSessionToken()) == string(second.Completed.GetSessionToken()) {
		t.Error("another session has the same token")
	}
}

// TestSessionInterrupted goes on after turns that were interrupted at different points:
// the session holds what was said until then, and what the agent has done.
func TestSessionInterrupted(t *testing.T) {
	s, dir := common(t), t.TempDir()
	slow := toolScript("run_shell_command", `{"command":"echo '[[tokens=500 gap=20ms]]'"}`)
	asleep := toolScript("run_shell_command", `{"command":"sleep 30"}`)
	text := func(e *backendv1.ExecuteResponse) bool { return e.GetTextDelta() != nil }
	tests := []struct {
		name   string
		prompt string
		when   func(*backendv1.ExecuteResponse) bool
		want   []string // part of each line of the conversation but the last
	}{
		{"in the answer", "[[tokens=500 gap=20ms]]", text, []string{"user ", `model {"text":"TEXT"}`}},
		{"in the reasoning", "[[think=50 gap=20ms]]", func(e *backendv1.ExecuteResponse) bool { return e.GetReasoningDelta() != nil },
			[]string{"user "}},
		{"after a tool", slow, text,
			[]string{"user ", `"functionCall":{"args":{"command":"echo '`, `"functionResponse":`, `model {"text":"TEXT"}`}},
		{"in a tool", asleep, func(e *backendv1.ExecuteResponse) bool { return e.GetToolCall() != nil },
			[]string{"user ", `"functionCall":{"args":{"command":"sleep 30"}`, `"functionResponse":`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sent := false
			first := s.run(t, conversation(dir, create(), user(tt.prompt)),
				backendtest.OnEvent(func(e *backendv1.ExecuteResponse, c backendv1.BackendService_ExecuteClient) {
					if sent || !tt.when(e) {
						return
					}
					sent = true
					if err := c.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
						t.Error(err)
					}
				}))
			if first.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
				t.Fatalf("completed %v, failed %v, %v", first.Completed, first.Failed, first.Err)
			}
			if got := activity(first); len(got)%2 != 0 {
				t.Errorf("a call without a result: %q", got)
			}
			token := first.Completed.GetSessionToken()
			if len(token) == 0 {
				t.Fatal("no token")
			}
			_, req := s.keep(t, conversation(dir, resume(token, 2), user(tt.prompt), assistant(first.Text), user("more")))
			got := contents(t, req)
			if len(got) != len(tt.want)+1 || got[len(got)-1] != line("user", "more") {
				t.Fatalf("conversation = %q", got)
			}
			for i, want := range tt.want {
				if want = strings.ReplaceAll(want, "TEXT", first.Text); !strings.Contains(got[i], want) {
					t.Errorf("part %d = %q, want %q in it", i, got[i], want)
				}
			}
		})
	}
}

// TestSessionBranches forks a session.
func TestSessionBranches(t *testing.T) {
	s := common(t)
	root, _ := s.keep(t, conversation("", create(), user("one")))
	token := root.Completed.GetSessionToken()
	history := func(last string) []*backendv1.Message {
		return []*backendv1.Message{user("one"), assistant(root.Text), user(last)}
	}
	begin := []string{"user:one", "model:" + root.Text}

	branch, req := s.keep(t, conversation("", fork(token, 2), history("left")...))
	if diff := cmp.Diff(append(begin, "user:left"), texts(req)); diff != "" {
		t.Errorf("branch (-want +got):\n%s", diff)
	}
	trunk, req := s.keep(t, conversation("", resume(token, 2), history("right")...))
	if diff := cmp.Diff(append(begin, "user:right"), texts(req)); diff != "" {
		t.Errorf("the original session (-want +got):\n%s", diff)
	}
	for last, r := range map[string]*backendtest.Result{"left": branch, "right": trunk} {
		messages := append(history(last), assistant(r.Text), user("more"))
		_, req := s.keep(t, conversation("", resume(r.Completed.GetSessionToken(), 4), messages...))
		if diff := cmp.Diff(append(begin, "user:"+last, "model:"+r.Text, "user:more"), texts(req)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", last, diff)
		}
	}
}

// TestSessionLost: whatever is wrong with a session, the messages are answered.
func TestSessionLost(t *testing.T) {
	s := common(t)
	secret := filepath.Join(s.state, "secret.jsonl")
	if err := os.WriteFile(secret, []byte(`{"version":1,"contents":1}`+"\n"+`{"role":"user","parts":[{"text":"secret"}]}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, _ := s.keep(t, conversation("", create(), user("one")))
	token := first.Completed.GetSessionToken()
	messages := []*backendv1.Message{user("one"), assistant("of another backend"), user("two")}
	want := []string{"user:one", "model:of another backend", "user:two"}
	for name, session := range map[string]*backendv1.Session{
		"unknown":       resume([]byte("5e9f4e2c-0b0c-4d5e-9d86-5f9cbb2a6f7e"), 2),
		"a path":        resume([]byte("../secret"), 2),
		"another form":  resume([]byte("{"+string(token)+"}"), 2),
		"upper case":    resume([]byte(strings.ToUpper(string(token))), 2),
		"garbage":       fork([]byte("\xff\x00/"), 2),
		"empty":         resume(nil, 2),
		"nothing held":  resume(token, 0),
		"all held":      resume(token, 3),
		"more than all": fork(token, 9),
	} {
		_, req := s.keep(t, conversation("", session, messages...))
		if diff := cmp.Diff(want, texts(req)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}

	path := s.file(token)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, req := s.keep(t, conversation("", resume(token, 2), messages...)); !cmp.Equal(want, texts(req)) {
		t.Errorf("damaged: %q", texts(req))
	}
}

// TestSessionList lists and deletes, and sees that only turns that came to a proper
// end and asked for a session leave one.
func TestSessionList(t *testing.T) {
	s, dir := common(t), t.TempDir()
	started := time.Now()
	r, _ := s.keep(t, conversation(dir, create(), user("\n  first line \nsecond")))
	s.keep(t, conversation(dir, create(), user(strings.Repeat("é", 200))))
	s.complete(t, conversation(dir, nil, user("not kept")))
	if r := s.run(t, conversation(dir, create(), user("[[status=400]]"))); r.Failed == nil || len(r.Failed.GetSessionToken()) > 0 {
		t.Errorf("failed = %v", r.Failed)
	}
	titles := func(dir string) (out []string) {
		t.Helper()
		for _, i := range s.list(t, dir) {
			out = append(out, i.GetTitle())
			if i.GetWorkingDir() != filepath.Clean(dir) || i.GetUpdateTime().AsTime().Before(started.Add(-time.Minute)) {
				t.Errorf("session %v", i)
			}
		}
		return out
	}
	second := strings.Repeat("é", titleLength) + "…"
	if diff := cmp.Diff([]string{second, "first line"}, titles(dir+"/")); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
	if l := s.list(t, ""); len(l) < 2 || l[0].GetTitle() != second {
		t.Errorf("all sessions: %v", l)
	}
	for _, token := range []string{string(r.Completed.GetSessionToken()), string(r.Completed.GetSessionToken()), "", "../x", "*"} {
		if _, err := s.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: []byte(token)}); err != nil {
			t.Errorf("deleting %q: %v", token, err)
		}
	}
	if diff := cmp.Diff([]string{second}, titles(dir)); diff != "" {
		t.Errorf("after the deletion (-want +got):\n%s", diff)
	}
}

// TestSessionsNowhere: without a place for sessions turns work as before.
func TestSessionsNowhere(t *testing.T) {
	s := newSystem(t, withWarm(0))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := newBackend().openKept(file); len(found) != 1 || found[0].Severity != plugins.SeverityWarning {
		t.Errorf("findings = %v", found)
	}
	if l := s.list(t, ""); len(l) != 0 {
		t.Errorf("sessions = %v", l)
	}
	r, _ := s.complete(t, conversation("", create(), user("hi")))
	if len(r.Completed.GetSessionToken()) != 0 {
		t.Error("a token without a session")
	}
}

// TestSessionCalls: whatever came of a call, the session tells the model the same as
// the turn did.
func TestSessionCalls(t *testing.T) {
	s, dir := common(t), t.TempDir()
	png, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.png"), png, 0o600); err != nil {
		t.Fatal(err)
	}
	image := toolScript("read_file", `{"file_path":"a.png"}`)
	tests := []struct {
		name     string
		model    string
		approval backendv1.ApprovalMode
		prompt   string
	}{
		{"denied", "", askDefault, toolScript("write_file", `{"file_path":"b.txt","content":"x"}`)},
		{"no such tool", "", askNone, toolScript("nosuch", `{"x":1}`)},
		{"failed", "", askNone, toolScript("read_file", `{"file_path":"missing"}`)},
		{"image", "", askNone, image},
		{"work of another agent", "", askNone, toolScript("invoke_agent", `{"agent_name":"codebase_investigator","prompt":"find it","objective":"find it"}`)},
		{"image, older model", "gemini-2.5-pro", askNone, image},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := agent(dir, tt.approval, boxFull, user(tt.prompt))
			start.Session, start.Model = create(), tt.model
			first, req := s.keep(t, start)
			want := append(contents(t, req), line("model", first.Text), line("user", "more"))
			start.Messages = append(start.Messages, assistant(first.Text), user("more"))
			start.Session = resume(first.Completed.GetSessionToken(), 2)
			_, req = s.keep(t, start)
			if len(want) < 5 {
				t.Errorf("there was no call: %q", want)
			}
			if diff := cmp.Diff(want, contents(t, req)); diff != "" {
				t.Errorf("conversation (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSessionSteps goes on after a turn that was out of steps: its last results are
// there, though the model has not seen them yet.
func TestSessionSteps(t *testing.T) {
	s, dir := common(t), t.TempDir()
	prompt := toolScript("list_directory", `{"dir_path":"."}`)
	start := conversation(dir, create(), user(prompt))
	start.MaxSteps = 1
	first, _ := s.keep(t, start)
	_, req := s.keep(t, conversation(dir, resume(first.Completed.GetSessionToken(), 2), user(prompt), assistant(""), user("more")))
	got := contents(t, req)
	if len(got) != 4 || !strings.Contains(got[1], "functionCall") || !strings.Contains(got[2], dir+" is empty") || got[3] != line("user", "more") {
		t.Errorf("conversation = %q", got)
	}
}

// TestOldSessionsAreDeleted: also by a plugin that runs for months.
func TestOldSessionsAreDeleted(t *testing.T) {
	b := newBackend()
	dir := t.TempDir()
	if found := b.openKept(dir); len(found) > 0 {
		t.Fatal(found)
	}
	old := func() string {
		t.Helper()
		name, err := b.kept.Save(kept.Session{})
		path := filepath.Join(dir, "sessions", name+".jsonl")
		if err == nil {
			at := time.Now().Add(-keepFor - time.Hour)
			err = os.Chtimes(path, at, at)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := old()
	b.prune()
	if _, err := os.Stat(first); err != nil {
		t.Error("it was looked for again at once")
	}
	b.pruned.Store(time.Now().Add(-pruneEvery).UnixNano())
	b.prune()
	if _, err := os.Stat(first); err == nil {
		t.Error("it is still there")
	}
}

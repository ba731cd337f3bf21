package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

// job is a session of agent mode as the host keeps it.
type job struct {
	f        *fixture
	dir      string
	messages []*backendv1.Message
	token    []byte // of the session
	live     []byte
	keepLive bool
}

func newJob(t *testing.T, f *fixture) *job {
	t.Helper()
	return &job{f: f, dir: t.TempDir()}
}

// start is the next turn of the session.
func (j *job) start(text string) *backendv1.Start {
	s := &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, WorkingDir: j.dir, ApprovalMode: backendv1.ApprovalMode_APPROVAL_MODE_NONE,
		Messages: append(j.messages[:len(j.messages):len(j.messages)], user(text)),
		Session:  &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_CREATE},
	}
	held := uint32(len(j.messages))
	if j.token != nil {
		s.Session = &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_RESUME, Token: j.token, MessagesHeld: held}
	}
	if j.keepLive {
		s.Live = &backendv1.Live{Token: j.live, MessagesHeld: held}
	}
	return s
}

// say runs the next turn; the prompt may hold a script.
func (j *job) say(text string, opts ...backendtest.Option) *backendtest.Result {
	j.f.tb.Helper()
	return j.run(j.start(text), opts...)
}

func (j *job) run(start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	j.f.tb.Helper()
	r := j.f.complete(start, opts...)
	j.messages = append(start.GetMessages(), assistant(r.Text))
	j.token, j.live = r.Completed.GetSessionToken(), r.Completed.GetLiveToken()
	if len(j.token) == 0 {
		j.f.tb.Fatal("the turn has no session token")
	}
	return r
}

// branch is the session as it is, to be forked.
func (j *job) branch(text string) *job {
	j.f.tb.Helper()
	b := *j
	start := b.start(text)
	start.Session.Action = backendv1.SessionAction_SESSION_ACTION_FORK
	b.run(start)
	return &b
}

// file is the transcript.
func (j *job) file() string {
	j.f.tb.Helper()
	name, ok := parseSession(j.token)
	paths := j.f.backend.transcripts(name.id)
	if !ok || len(paths) != 1 {
		j.f.tb.Fatalf("token %q has the transcripts %q", j.token, paths)
	}
	return paths[0]
}

// written waits until the CLI has written the last turn.
func (j *job) written() {
	j.f.tb.Helper()
	name, _ := parseSession(j.token)
	await.Until(j.f.tb, 10*time.Second, "the transcript has the last turn", func() bool { return j.f.backend.transcript(name) != "" })
}

// sees fails unless this conversation reached the API last.
func (j *job) sees(want ...string) {
	j.f.tb.Helper()
	_, messages := j.f.received()
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			got = append(got, m.Role+" "+p.Kind+" "+p.Text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		j.f.tb.Errorf("conversation (-want +got):\n%s", diff)
	}
}

// replay is what reaches the API when nothing but the messages is known.
func (j *job) replay() []string {
	var out []string
	for _, m := range j.messages[:len(j.messages)-1] {
		role := "user"
		if m.GetRole() == backendv1.Role_ROLE_ASSISTANT {
			role = "assistant"
		}
		out = append(out, role+" text "+m.GetParts()[0].GetText())
	}
	return out
}

const answered = "assistant text tok0 tok1 tok2 "

// writes is a prompt for which the model calls a tool of the CLI's own.
func writes(dir string) (prompt, arguments string) {
	arguments = fmt.Sprintf(`{"file_path":%q,"content":"yes"}`, filepath.Join(dir, "made"))
	return "write [[tokens=1 tool=Write args=b64:" + base64.StdEncoding.EncodeToString([]byte(arguments)) + "]]", arguments
}

func TestSessionGoesOn(t *testing.T) {
	eachReleaseWith(t, cold, func(t *testing.T, f *fixture) {
		j := newJob(t, f)
		j.messages = []*backendv1.Message{user("/one"), assistant("two")}
		prompt, arguments := writes(j.dir)
		j.say(prompt)
		result := fmt.Sprintf("File created successfully at: %s (file state is current in your context — no need to Read it back)", filepath.Join(j.dir, "made"))
		want := []string{
			"user text /one", "assistant text two", "user text " + prompt,
			"assistant text tok0 ", "assistant tool_use " + arguments, "user tool_result " + result,
		}
		j.sees(want...)

		f.restart()
		j.dir = t.TempDir() // a session is found from everywhere
		r := j.say("/four")
		want = append(want, answered, "user text /four")
		if f.backend.cli.known.version == oldest { // which has the slash apart, see guarded
			want = append(want[:len(want)-1], "user text /", "user text four")
		}
		j.sees(want...)
		if r.Started.GetLive() {
			t.Error("a session on disk is no live conversation")
		}
		j.say("five") // while the process before may still be leaving
		j.sees(append(want, answered, "user text five")...)

		name, _ := parseSession(j.token)
		if path := filepath.Base(j.file()); path != name.id+".jsonl" {
			t.Errorf("the transcript is %s", path)
		}
	})
}

// TestLostSession: whatever has become of the session, the turn is answered.
func TestLostSession(t *testing.T) {
	tests := map[string]func(t *testing.T, j *job){
		"deleted": func(t *testing.T, j *job) {
			if err := os.Remove(j.file()); err != nil {
				t.Fatal(err)
			}
		},
		"its end lost": func(t *testing.T, j *job) {
			text, err := os.ReadFile(j.file())
			if err == nil {
				name, _ := parseSession(j.token)
				err = os.WriteFile(j.file(), text[:strings.Index(string(text), name.message)], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		"no transcript": func(t *testing.T, j *job) { // the CLI itself says so
			name, _ := parseSession(j.token)
			if err := os.WriteFile(j.file(), []byte(name.message), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"no token": func(_ *testing.T, j *job) { j.token = []byte("../../etc/passwd") },
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for name, spoil := range tests {
			t.Run(name, func(t *testing.T) {
				f.tb = t
				j := newJob(t, f)
				prompt, _ := writes(j.dir)
				j.say(prompt)
				name, _ := parseSession(j.token)
				f.backend.settle(t.Context(), name.id)
				before := string(j.token)
				spoil(t, j)
				j.say("next")
				j.sees(j.replay()...)
				if string(j.token) == before {
					t.Error("it is the same session")
				}
			})
		}
	})
}

func TestForkedSession(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		j := newJob(t, f)
		j.say("one")
		left, right := j.branch("left"), j.branch("right")
		begin := []string{"user text one", answered}
		right.sees(append(begin, "user text right")...)
		left.say("left on")
		left.sees(append(begin, "user text left", answered, "user text left on")...)
		j.say("original")
		j.sees(append(begin, "user text original")...)
		if files := map[string]bool{j.file(): true, left.file(): true, right.file(): true}; len(files) != 3 {
			t.Errorf("transcripts: %v", files)
		}
	})
}

// TestInterruptedSession: what was said before the interruption is part of the
// session, and the CLI's own words about it.
func TestInterruptedSession(t *testing.T) {
	eachReleaseWith(t, cold, func(t *testing.T, f *fixture) {
		j := newJob(t, f)
		interrupted := func(prompt string, now func(*backendv1.ExecuteResponse) bool) *backendtest.Result {
			t.Helper()
			r := j.say(prompt, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
				if now(e) {
					_ = s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}})
				}
			}))
			if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
				t.Errorf("completed = %v", r.Completed)
			}
			return r
		}
		deltas := 0
		r := interrupted("count [[tokens=100 gap=30ms]]", func(e *backendv1.ExecuteResponse) bool {
			if e.GetTextDelta() != nil {
				deltas++
			}
			return deltas == 3
		})
		f.restart()
		j.say("next")
		j.sees(
			"user text count [[tokens=100 gap=30ms]]", "assistant text "+r.Text, "user text [Request interrupted by user]",
			"assistant text No response requested.", "user text next",
		)

		sleep := "wait [[tokens=1 tool=Bash args=b64:" + base64.StdEncoding.EncodeToString([]byte(`{"command":"sleep 300"}`)) + "]]"
		interrupted(sleep, func(e *backendv1.ExecuteResponse) bool { return e.GetToolCall() != nil })
		j.say("after")
		_, messages := f.received()
		if all := words(messages); !strings.Contains(all, "sleep 300") || !strings.HasSuffix(all, "user text: \"after\"\n") {
			t.Errorf("messages:\n%s", all)
		}
	})
}

// transcripts are those of all sessions.
func transcripts(t *testing.T, f *fixture) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.backend.configDir(), "projects", "*", "*"+transcriptSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestFailedTurnHasNoSession: nor does it leave one behind that nobody can name.
func TestFailedTurnHasNoSession(t *testing.T) {
	eachReleaseWith(t, ownConfig, func(t *testing.T, f *fixture) {
		j := newJob(t, f)
		r := f.run(j.start("[[tokens=3 cut=2]]"))
		if r.Failed == nil || len(r.Failed.GetSessionToken()) > 0 {
			t.Errorf("failed = %v, completed = %v", r.Failed, r.Completed)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.runIn(ctx, j.start("[[tokens=3 hangat=2]]"), backendtest.OnEvent(func(e *backendv1.ExecuteResponse, _ backendv1.BackendService_ExecuteClient) {
			if e.GetTextDelta() != nil {
				cancel()
			}
		}))
		cancel()
		f.waitProcesses(0)
		f.backend.wg.Wait() // for what was begun to be removed
		if left := transcripts(t, f); len(left) > 0 {
			t.Errorf("transcripts are left: %v", left)
		}
		j.say("good")
		before := transcripts(t, f)
		j.f.run(j.start("[[status=400]]"))
		f.backend.wg.Wait()
		if after := transcripts(t, f); len(before) != 1 || len(after) != 1 {
			t.Errorf("transcripts before the failure: %v, after it: %v", before, after)
		}
	})
}

// TestTwoTurnsOnOneSession: one of them has it, the other one works with the messages.
// The transcript would hold both otherwise, and each would lose what the other said.
func TestTwoTurnsOnOneSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, ownConfig)
	j := newJob(t, f)
	j.say("one")
	name, _ := parseSession(j.token)
	f.backend.settle(t.Context(), name.id)
	starts := []*backendv1.Start{j.start("left [[tokens=20 gap=20ms]]"), j.start("right [[tokens=20 gap=20ms]]")}
	ids := make([]string, len(starts))
	var wg sync.WaitGroup
	for i, start := range starts {
		wg.Go(func() {
			r := f.run(start)
			token, _ := parseSession(r.Completed.GetSessionToken())
			ids[i] = token.id
		})
	}
	wg.Wait()
	if ids[0] == ids[1] || ids[0] != name.id && ids[1] != name.id {
		t.Errorf("the sessions of two turns are %q, that before was %s", ids, name.id)
	}
}

// TestDeletedInMidTurn: a session is not deleted while a turn writes it.
func TestDeletedInMidTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, ownConfig)
	j := newJob(t, f)
	j.say("one")
	token := j.token
	deleted := func() error {
		_, err := f.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: token})
		return err
	}
	var once sync.Once
	j.say("two [[tokens=40 gap=100ms]]", backendtest.OnEvent(func(e *backendv1.ExecuteResponse, _ backendv1.BackendService_ExecuteClient) {
		if e.GetTextDelta() != nil {
			once.Do(func() {
				if err := deleted(); err == nil || !strings.Contains(err.Error(), "in use") {
					t.Errorf("deleting it in mid-turn: %v", err)
				}
			})
		}
	}))
	if err := deleted(); err != nil {
		t.Error(err)
	}
	if left := transcripts(t, f); len(left) > 0 {
		t.Errorf("transcripts are left: %v", left)
	}
}

// TestLiveSessionOfAnother: a process goes on with its own session only.
func TestLiveSessionOfAnother(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	j, other := newJob(t, f), newJob(t, f)
	j.keepLive, other.keepLive = true, true
	j.say("one")
	other.say("another")
	other.live = j.live
	if r := other.say("two"); r.Started.GetLive() {
		t.Error("it went on in the process of another session")
	}
	other.sees("user text another", answered, "user text two")
	chat := j.start("as a chat")
	chat.Mode, chat.Live = backendv1.Mode_MODE_CHAT, &backendv1.Live{Token: j.live, MessagesHeld: 2}
	if r := f.complete(chat); r.Started.GetLive() {
		t.Error("a chat went on in an agent's process")
	}
}

// TestNothingNew: a turn that adds nothing to what its session holds is refused, or
// answered as if there were none.
func TestNothingNew(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	j := newJob(t, f)
	j.say("one")
	j.messages = []*backendv1.Message{user("one"), assistant(" ")}
	if r := f.run(j.start(" ")); r.Completed == nil {
		t.Errorf("failed = %v", r.Failed)
	}
}

func TestHolds(t *testing.T) {
	const block = 64 << 10
	path := filepath.Join(t.TempDir(), "file")
	id := uuid()
	for before := block - 2*len(id); before < block+len(id); before++ {
		text := strings.Repeat("x", before) + id + strings.Repeat("y", block)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if !holds(path, id) || !holds(path, "") || holds(path, id+id) {
			t.Fatalf("after %d bytes: %v, %v, %v", before, holds(path, id), holds(path, ""), holds(path, id+id))
		}
	}
	if holds(path+"none", "") {
		t.Error("a file that is not there holds something")
	}
}

// TestLiveSession: while its process is there a session goes on in it, and after that
// from the disk.
func TestLiveSession(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		j := newJob(t, f)
		j.keepLive = true
		prompt, arguments := writes(j.dir)
		j.say(prompt)
		first := j.file()
		if r := j.say("two"); !r.Started.GetLive() || j.file() != first {
			t.Errorf("live: %v, transcript %s, before %s", r.Started.GetLive(), j.file(), first)
		}
		name, _ := parseSession(j.token)
		f.backend.settle(t.Context(), name.id)
		if r := j.say("three"); r.Started.GetLive() || j.file() != first {
			t.Errorf("live: %v, transcript %s, before %s", r.Started.GetLive(), j.file(), first)
		}
		_, messages := f.received()
		for _, want := range []string{arguments, "two", "three"} {
			if !strings.Contains(words(messages), fmt.Sprintf("%q", want)) {
				t.Errorf("%s is missing in\n%s", want, words(messages))
			}
		}
		fork := j.branch("fork") // whose session the live process does not hold
		if fork.file() == first {
			t.Error("the fork is the session itself")
		}
	})
}

func TestListAndDeleteSessions(t *testing.T) {
	eachReleaseWith(t, ownConfig, func(t *testing.T, f *fixture) {
		one, two := newJob(t, f), newJob(t, f)
		one.say("first   prompt\n" + strings.Repeat("x", maxTitle))
		one.written()
		two.keepLive = true
		two.say("second prompt")
		two.written()
		list := func(dir string) (titles []string) {
			t.Helper()
			r, err := f.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{WorkingDir: dir})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range r.GetSessions() {
				titles = append(titles, s.GetTitle())
			}
			return titles
		}
		long := "first prompt " + strings.Repeat("x", maxTitle-len("first prompt ")-1) + "…"
		if diff := cmp.Diff([]string{"second prompt", long}, list("")); diff != "" {
			t.Errorf("sessions (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{long}, list(one.dir)); diff != "" {
			t.Errorf("sessions of a directory (-want +got):\n%s", diff)
		}
		f.waitProcesses(1)
		for _, token := range [][]byte{two.token, two.token, []byte("nonsense")} {
			if _, err := f.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: token}); err != nil {
				t.Errorf("deleting %q: %v", token, err)
			}
		}
		f.waitProcesses(0)
		if diff := cmp.Diff([]string{long}, list("")); diff != "" {
			t.Errorf("sessions (-want +got):\n%s", diff)
		}
		two.say("third")
		two.sees(two.replay()...)
		// As a client would that has taken the session from the list.
		name, _ := parseSession(one.token)
		one.token = []byte(name.id)
		one.say("on")
		one.sees(one.replay()...)
	})
}

func TestAnsweredIn(t *testing.T) {
	says := func(role plugins.Role, text string) plugins.Message {
		return plugins.Message{Role: role, Parts: []plugins.Part{plugins.Text(text)}}
	}
	asks, answers := says(plugins.RoleUser, "a"), says(plugins.RoleAssistant, "b")
	silent := says(plugins.RoleAssistant, " ")
	tests := map[string]struct {
		messages []plugins.Message
		want     int
	}{
		"one message":       {[]plugins.Message{asks}, 0},
		"usual":             {[]plugins.Message{asks, answers, asks}, 2},
		"two of the user":   {[]plugins.Message{asks, answers, asks, asks}, 2},
		"an empty answer":   {[]plugins.Message{asks, answers, asks, silent, asks}, 2},
		"nothing was said":  {[]plugins.Message{says(plugins.RoleUser, ""), silent, asks}, 0},
		"never answered":    {[]plugins.Message{asks, asks}, 0},
		"assistant's begin": {[]plugins.Message{answers, asks}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := answeredIn(test.messages); got != test.want {
				t.Errorf("%d messages, want %d", got, test.want)
			}
		})
	}
}

func TestSessionTokens(t *testing.T) {
	id, message := uuid(), uuid()
	tests := map[string]bool{
		id: true, id + "." + message: true,
		"": false, id + ".": false, id + "/" + message: false, "../" + id: false, strings.ToUpper(id): false, id + "\n": false, "." + message: false,
	}
	for token, want := range tests {
		if name, ok := parseSession([]byte(token)); ok != want || ok && name.id != id {
			t.Errorf("%q: %v, %v", token, name, ok)
		}
	}
	if got := string(sessionName{id, message}.token()); got != id+"."+message {
		t.Errorf("token = %q", got)
	}
}

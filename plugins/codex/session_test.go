package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// talk is a conversation that is kept, as the host keeps one.
type talk struct {
	f        *fixture
	dir      string
	token    []byte
	held     int
	messages []*backendv1.Message
}

func newTalk(t *testing.T, f *fixture) *talk {
	t.Helper()
	return &talk{f: f, dir: t.TempDir()}
}

// branch is the same conversation, to be continued in another way.
func (k *talk) branch() *talk {
	return &talk{f: k.f, dir: k.dir, token: k.token, held: k.held, messages: slices.Clone(k.messages)}
}

// start is the next turn as the host would ask for it.
func (k *talk) start(action backendv1.SessionAction, prompt string) *backendv1.Start {
	k.messages = append(k.messages, user(prompt))
	if len(k.token) == 0 {
		action = backendv1.SessionAction_SESSION_ACTION_CREATE
	}
	return &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, Model: "gpt-5.5", WorkingDir: k.dir, Messages: slices.Clone(k.messages),
		ApprovalMode: backendv1.ApprovalMode_APPROVAL_MODE_NONE, SandboxMode: backendv1.SandboxMode_SANDBOX_MODE_FULL,
		Session: &backendv1.Session{Action: action, Token: k.token, MessagesHeld: uint32(k.held)},
	}
}

// run runs a turn and takes its answer into the conversation.
func (k *talk) run(t *testing.T, s *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	t.Helper()
	k.f.api.Log.Reset()
	r := k.f.run(t, s, opts...)
	if r.Failed != nil {
		t.Fatalf("the turn failed: %v", r.Failed)
	}
	if k.token = r.Completed.GetSessionToken(); len(k.token) == 0 {
		t.Fatal("no token of the session")
	}
	k.messages = append(k.messages, assistant(r.Text))
	k.held = len(k.messages)
	return r
}

func (k *talk) say(t *testing.T, prompt string, opts ...backendtest.Option) *backendtest.Result {
	t.Helper()
	return k.run(t, k.start(backendv1.SessionAction_SESSION_ACTION_RESUME, prompt), opts...)
}

func (k *talk) thread(t *testing.T) string {
	t.Helper()
	token, ok := parseToken(k.token)
	if !ok {
		t.Fatalf("token %q", k.token)
	}
	return token.Thread
}

// saw is the conversation of the last model call, without what the CLI tells about its
// surroundings.
func saw(t *testing.T, f *fixture) (lines []string) {
	t.Helper()
	turns := f.api.Log.Turns()
	_, messages := openai.Conversation(turns[len(turns)-1])
	for _, m := range messages {
		for _, p := range m.Parts {
			text := p.Text
			if p.Kind == "tool_result" { // the CLI tells the time that it took
				_, text, _ = strings.Cut(text, "Output:\n")
			}
			if word, _, _ := strings.Cut(text, ">"); strings.HasPrefix(word, "<") {
				if word == "<environment_context" || word == "<permissions instructions" || word == "<skills_instructions" {
					continue
				}
				text = word + ">"
			}
			lines = append(lines, m.Role+" "+p.Kind+" "+text)
		}
	}
	return lines
}

func checkSaw(t *testing.T, f *fixture, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, saw(t, f)); diff != "" {
		t.Errorf("the model server saw (-want +got):\n%s", diff)
	}
}

// checkUsage checks that one turn of so many model calls is reported.
func checkUsage(t *testing.T, r *backendtest.Result, calls int64) {
	t.Helper()
	if got := r.Completed.GetUsage().GetInputTokens(); got != calls*openai.InputTokens {
		t.Errorf("%d input tokens, want those of %d calls", got, calls)
	}
}

// TestSessionOutlivesTheProcess shows that a session holds more than the messages: the
// calls of the CLI's own tools and what they gave.
func TestSessionOutlivesTheProcess(t *testing.T) {
	f := start(t, withWarm(0))
	k := newTalk(t, f)
	prompt := shell(t, "echo from the tool")
	checkUsage(t, k.say(t, prompt), 2)
	first := k.thread(t)
	f.restart(t)
	checkUsage(t, k.say(t, "second"), 1)
	history := []string{
		"user text " + prompt, "assistant text tok0 ", `assistant tool_use {"cmd":"echo from the tool"}`, "tool tool_result from the tool\n",
		"assistant text tok0 ", "user text second",
	}
	checkSaw(t, f, history...)
	checkUsage(t, k.say(t, "third"), 1)
	checkSaw(t, f, append(history, "assistant text tok0 tok1 tok2 ", "user text third")...)
	if k.thread(t) != first {
		t.Error("the session is another thread")
	}
}

// TestSessionIsMadeAnew: a session that is of no use is no failure.
func TestSessionIsMadeAnew(t *testing.T) {
	f := start(t, withWarm(0))
	id := "01a206bc-3a78-7770-bd57-6f75862f7038"
	// stays are the cases in which somebody else may want the old thread.
	stays := []string{"unknown thread", "a name", "no JSON", "loaded elsewhere", "in use", "a fork"}
	tests := []struct {
		name  string
		spoil func(t *testing.T, k *talk, s *backendv1.Start)
	}{
		{"file deleted", func(t *testing.T, k *talk, _ *backendv1.Start) {
			for _, name := range k.files(t) {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"file is garbage", func(t *testing.T, k *talk, _ *backendv1.Start) {
			if err := os.WriteFile(k.files(t)[0], []byte("garbage\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"unknown thread", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.Session.Token = []byte(`{"thread":"` + id + `"}`) }},
		{"a name", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.Session.Token = []byte(`{"thread":"last"}`) }},
		{"no JSON", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.Session.Token = []byte("\xff{") }},
		{"nothing new", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.Session.MessagesHeld = 9 }},
		{"full access is no longer given", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.SandboxMode = 0 }},
		{"the model is no longer given", func(_ *testing.T, _ *talk, s *backendv1.Start) { s.Model = "" }},
		{"loaded elsewhere", func(t *testing.T, k *talk, _ *backendv1.Start) { k.load(t) }},
		{"in use", func(t *testing.T, k *talk, _ *backendv1.Start) {
			f.backend.inUse.claim(k.thread(t))
		}},
		{"a fork", func(_ *testing.T, _ *talk, s *backendv1.Start) {
			s.Session.Action, s.SandboxMode = backendv1.SessionAction_SESSION_ACTION_FORK, 0
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := newTalk(t, f)
			k.say(t, "first")
			before := k.thread(t)
			s := k.start(backendv1.SessionAction_SESSION_ACTION_RESUME, "second")
			test.spoil(t, k, s)
			checkUsage(t, k.run(t, s), 1)
			checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text second")
			if k.thread(t) == before {
				t.Error("the session is the same thread")
			}
			left, err := rolloutFiles(f.home, before)
			if stay := slices.Contains(stays, test.name); err != nil || (len(left) > 0) != stay {
				t.Errorf("files of the old thread: %v, %v; want some: %v", left, err, stay)
			}
		})
	}
}

// files are those of the conversation's thread.
func (k *talk) files(t *testing.T) []string {
	t.Helper()
	names, err := rolloutFiles(k.f.home, k.thread(t))
	if err != nil || len(names) != 1 {
		t.Fatalf("files of the session: %v, %v", names, err)
	}
	return []string{filepath.Join(k.f.home, names[0])}
}

// load makes another app-server the thread's writer.
func (k *talk) load(t *testing.T) {
	t.Helper()
	other := *k.f
	other.connect(t)
	t.Cleanup(func() { other.close(t) })
	i, err := other.backend.agent.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.backend.agent.put(i) })
	if err := i.client.Call(t.Context(), "thread/resume", object{"threadId": k.thread(t)}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestSessionForks(t *testing.T) {
	f := start(t, withWarm(0))
	k := newTalk(t, f)
	k.say(t, "first")
	original, err := os.ReadFile(k.files(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // branches do not know of each other
		branch := k.branch()
		checkUsage(t, branch.run(t, branch.start(backendv1.SessionAction_SESSION_ACTION_FORK, "branch")), 1)
		checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text branch")
		if branch.thread(t) == k.thread(t) {
			t.Fatal("the branch is the thread itself")
		}
		checkUsage(t, branch.say(t, "more"), 1)
		checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text branch", "assistant text tok0 tok1 tok2 ", "user text more")
	}
	now, err := os.ReadFile(k.files(t)[0])
	if diff := cmp.Diff(string(original), string(now)); diff != "" || err != nil {
		t.Errorf("the original has changed (%v):\n%s", err, diff)
	}
	checkUsage(t, k.say(t, "trunk"), 1)
	checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text trunk")
	last := k.branch()
	last.run(t, last.start(backendv1.SessionAction_SESSION_ACTION_FORK, "late"))
	// A branch stands alone.
	if _, err := f.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: k.token}); err != nil {
		t.Fatal(err)
	}
	before := last.thread(t)
	if last.say(t, "later"); last.thread(t) != before {
		t.Error("the branch has gone with its origin")
	}
	listed, err := f.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{})
	if err != nil || len(listed.GetSessions()) != 3 || listed.GetSessions()[0].GetTitle() != "first" {
		t.Errorf("listed %v, %v", listed, err)
	}
	if newest, _ := parseToken(listed.GetSessions()[0].GetToken()); newest.Thread != before {
		t.Errorf("the newest is %v, want %s", newest, before)
	}
}

// TestSessionIsToldNewInstructions: a thread keeps the instructions that it began with.
func TestSessionIsToldNewInstructions(t *testing.T) {
	f := start(t, withWarm(0))
	k := newTalk(t, f)
	for _, system := range []string{"be brief", "be brief", "be kind", "be kind"} {
		s := k.start(backendv1.SessionAction_SESSION_ACTION_RESUME, "hi")
		s.System = system
		k.run(t, s)
	}
	turns := f.api.Log.Turns()
	body := string(turns[len(turns)-1].Body)
	if strings.Count(body, "be brief") != 1 || strings.Count(body, "be kind") != 1 {
		t.Errorf("the model server saw %v", saw(t, f))
	}
	checkSaw(t, f, "user text hi", "assistant text tok0 tok1 tok2 ", "user text hi", "assistant text tok0 tok1 tok2 ",
		"developer text be kind", "user text hi", "assistant text tok0 tok1 tok2 ", "user text hi")
}

func FuzzParseToken(f *testing.F) {
	f.Add([]byte(`{"thread":"01a206bc-3a78-7770-bd57-6f75862f7038","given":["model"],"used":{"inputTokens":1}}`))
	f.Add([]byte(`{"thread":"--last"}`))
	f.Fuzz(func(t *testing.T, token []byte) {
		known, ok := parseToken(token)
		if !ok {
			return
		}
		if again, ok := parseToken(known.bytes()); !ok || !bytes.Equal(known.bytes(), again.bytes()) {
			t.Errorf("%+v became %+v", known, again)
		}
	})
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// world is a backend whose state outlives it.
type world struct {
	t      *testing.T
	state  string
	client backendv1.BackendServiceClient
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, state: t.TempDir()}
	w.restart()
	return w
}

// restart begins a new process of the plugin.
func (w *world) restart() {
	w.t.Helper()
	b := newBackend()
	if d := b.Configure(w.t.Context(), plugins.Config{StateDir: w.state}); len(d) > 0 {
		w.t.Fatal(d)
	}
	w.client = backendtest.Connect(w.t, b)
}

// ask runs a turn of as many messages, the last of which asks what was held.
func (w *world) ask(messages int, s *backendv1.Session, live *backendv1.Live) *backendtest.Result {
	w.t.Helper()
	start := &backendv1.Start{Model: "tool", Session: s, Live: live, WorkingDir: "/work"}
	for range messages / 2 {
		start.Messages = append(start.Messages, user("a question"), assistant("an answer"))
	}
	start.Messages = append(start.Messages, user("[[held]]"))
	r := backendtest.Run(w.t.Context(), w.client, start)
	if r.Err != nil || r.Completed == nil {
		w.t.Fatal(r.Err, r.Failed)
	}
	return r
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

func TestSessions(t *testing.T) {
	tests := []struct {
		name string
		// next is the turn after one of three messages; it may spoil the session before.
		next     func(t *testing.T, w *world, token []byte) *backendv1.Session
		want     string
		goesOn   bool // under the same token
		original bool // is still there
	}{
		{"resumed", func(_ *testing.T, _ *world, token []byte) *backendv1.Session { return resume(token, 4) }, "session held 4, sent 1", true, true},
		{"forked", func(_ *testing.T, _ *world, token []byte) *backendv1.Session { return fork(token, 4) }, "session held 4, sent 1", false, true},
		{"another length", func(_ *testing.T, _ *world, token []byte) *backendv1.Session { return resume(token, 2) }, "nothing held, sent 5", false, true},
		{"no token", func(*testing.T, *world, []byte) *backendv1.Session { return resume([]byte("../x"), 4) }, "nothing held, sent 5", false, true},
		{"new", func(*testing.T, *world, []byte) *backendv1.Session { return create() }, "nothing held, sent 5", false, true},
		{"deleted", func(t *testing.T, w *world, token []byte) *backendv1.Session {
			for range 2 {
				if _, err := w.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: token}); err != nil {
					t.Fatal(err)
				}
			}
			return resume(token, 4)
		}, "nothing held, sent 5", false, false},
		{"damaged", func(t *testing.T, w *world, token []byte) *backendv1.Session {
			if err := os.WriteFile(filepath.Join(w.state, "sessions", string(token)+".json"), []byte(`{"held`), 0o600); err != nil {
				t.Fatal(err)
			}
			return resume(token, 4)
		}, "nothing held, sent 5", false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.ask(3, create(), nil)
			token := first.Completed.GetSessionToken()
			if first.Text != "nothing held, sent 3" {
				t.Errorf("first text %q", first.Text)
			}
			w.restart()
			r := w.ask(5, test.next(t, w, token), nil)
			now := r.Completed.GetSessionToken()
			if r.Text != test.want || len(now) == 0 || (string(now) == string(token)) != test.goesOn {
				t.Errorf("text %q, want %q; token %q, before %q", r.Text, test.want, now, token)
			}
			if r := w.ask(7, resume(now, 6), nil); r.Text != "session held 6, sent 1" {
				t.Errorf("the turn after that: %q", r.Text)
			}
			if test.goesOn {
				return
			}
			if r := w.ask(5, resume(token, 4), nil); (r.Text == "session held 4, sent 1") != test.original {
				t.Errorf("the original: %q", r.Text)
			}
		})
	}
}

func TestLiveWinsAndStaysTheSession(t *testing.T) {
	w := newWorld(t)
	first := w.ask(1, create(), &backendv1.Live{}).Completed
	live := &backendv1.Live{Token: first.GetLiveToken(), MessagesHeld: 2}
	r := w.ask(3, resume(first.GetSessionToken(), 2), live)
	if r.Text != "live held 2, sent 1" || !r.Started.GetLive() || string(r.Completed.GetSessionToken()) != string(first.GetSessionToken()) {
		t.Errorf("text %q, %v, %v", r.Text, r.Started, r.Completed)
	}
	live = &backendv1.Live{Token: r.Completed.GetLiveToken(), MessagesHeld: 4}
	if r := w.ask(5, fork(first.GetSessionToken(), 4), live); r.Text != "session held 4, sent 1" || r.Started.GetLive() {
		t.Errorf("a fork: text %q, %v", r.Text, r.Started)
	}
	if r := w.ask(3, nil, nil); len(r.Completed.GetSessionToken()) != 0 {
		t.Error("a turn without a session has a token")
	}
}

func TestListSessions(t *testing.T) {
	w := newWorld(t)
	w.ask(1, create(), nil)
	w.ask(3, create(), nil)
	if err := os.WriteFile(filepath.Join(w.state, "sessions", "notes.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{"[[held]]": true, "a question": true}
	for dir, want := range map[string]map[string]bool{"": all, "/work": all, "/elsewhere": {}} {
		r, err := w.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{WorkingDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		titles := map[string]bool{}
		for _, s := range r.GetSessions() {
			titles[s.GetTitle()] = true
		}
		if diff := cmp.Diff(want, titles); diff != "" {
			t.Errorf("%q (-want +got):\n%s", dir, diff)
		}
	}
}

func TestAnswersDoNotDependOnSessions(t *testing.T) {
	w := newWorld(t)
	start := &backendv1.Start{Model: "transcript", Messages: []*backendv1.Message{user("one")}, Session: create()}
	first := backendtest.Run(t.Context(), w.client, start)
	start.Messages = append(start.Messages, assistant(first.Text), user("two"))
	start.Session = resume(first.Completed.GetSessionToken(), 2)
	r := backendtest.Run(t.Context(), w.client, start)
	if want := "user: one\nassistant: user: one\n\nuser: two\n"; r.Text != want || !strings.HasPrefix(r.Text, first.Text) {
		t.Errorf("text %q, want %q", r.Text, want)
	}
}

package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store"
	"github.com/clinvk/clinvk/host/store/sqlite"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// fake answers each turn as it is told to, and notes what it was asked.
type fake struct {
	mu      sync.Mutex
	turns   []*engine.Turn
	deleted []string
	slow    chan struct{} // what deletes a session waits for it; nil: it need not
	visited func()        // is called when a backend is looked up; nil: nothing is
	gone    bool          // the configuration has no alias fixer any longer
	bound   bool          // backends find sessions only where they were made
	media   []string
	answer  func(t *engine.Turn) ([]engine.Event, error)
}

func (f *fake) Execute(_ context.Context, t *engine.Turn) (*engine.Execution, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turns = append(f.turns, t)
	to, err := f.Resolve(t)
	if err != nil {
		return nil, err
	}
	events, err := f.answer(t)
	if events == nil {
		return nil, err
	}
	return engine.ReplayTurn(t, to.Backend, func() (engine.Event, error) {
		if len(events) > 0 {
			ev := events[0]
			events = events[1:]
			return ev, nil
		}
		if err != nil {
			return nil, err
		}
		return nil, io.EOF
	}), nil
}

func (f *fake) Preview(_ context.Context, t *engine.Turn) (*engine.Preview, error) {
	f.turns = append(f.turns, t)
	return &engine.Preview{}, nil
}

// Resolve knows the backends a and b, the alias fast for a, and fixer, which has agents of
// b work in /pinned.
func (f *fake) Resolve(t *engine.Turn) (engine.Resolved, error) {
	var backend string
	switch {
	case t.Backend != "":
		backend = t.Backend
	case t.Model == "fast":
		backend = "a"
	case t.Model == "fixer" && !f.gone:
		return f.pinned(t), nil
	case t.Model == "":
		backend = "a"
	default:
		backend, _, _ = strings.Cut(t.Model, "/")
	}
	if backend != "a" && backend != "b" {
		return engine.Resolved{}, engine.Errorf(engine.CodeModelNotFound, "no %s", backend)
	}
	name := t.Model
	if t.Backend != "" && t.Model != "" || name == "" {
		name = strings.TrimSuffix(backend+"/"+strings.TrimPrefix(t.Model, backend+"/"), "/")
	}
	return engine.Resolved{Backend: backend, Name: name, Mode: t.WantedMode(), WorkingDir: t.WorkingDir}, nil
}

func (f *fake) pinned(t *engine.Turn) engine.Resolved {
	to := engine.Resolved{Backend: "b", Name: "fixer", Mode: engine.ModeAgent, WorkingDir: "/pinned"}
	if t.Session != nil && t.Session.Settled {
		to.Mode, to.WorkingDir = t.Mode, t.WorkingDir
	}
	return to
}

func (f *fake) Backend(name string) (engine.BackendInfo, error) {
	if f.visited != nil {
		f.visited()
	}
	return engine.BackendInfo{Name: name, Describe: &backendv1.DescribeResponse{Capabilities: &backendv1.Capabilities{
		Sessions: &backendv1.SessionCapability{BoundToWorkingDir: f.bound}, InputMediaTypes: f.media,
	}}}, nil
}

func (f *fake) DeleteSession(ctx context.Context, backend string, token []byte) error {
	if f.slow != nil {
		// How long a backend may take is none of these tests' business.
		given := make(chan struct{})
		defer context.AfterFunc(ctx, func() {
			if errors.Is(ctx.Err(), context.Canceled) {
				close(given)
			}
		})()
		select {
		case <-f.slow:
		case <-given:
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deleted = append(f.deleted, backend+" "+string(token))
	return nil
}

func (f *fake) last() *engine.Turn { return f.turns[len(f.turns)-1] }

// echo answers with the number of messages it got, and a token of the turn's number.
func (f *fake) echo(t *engine.Turn) ([]engine.Event, error) {
	n := int64(len(t.Messages))
	return []engine.Event{
		&engine.Started{Model: "m1"},
		&engine.TextDelta{Text: fmt.Sprintf("answer to %d", n)},
		&engine.Completed{Reason: engine.FinishStop, Model: "m1", Usage: engine.Usage{InputTokens: &n}, SessionToken: fmt.Appendf(nil, "token %d", len(f.turns))},
	}, nil
}

type world struct {
	*fake
	*session.Keeper
	store *sqlite.Store
	path  string // of the store
}

func newWorld(t *testing.T, change ...func(*session.Config)) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.db")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fake{}
	f.answer = f.echo
	c := session.Config{Engine: f, Store: s}
	for _, each := range change {
		each(&c)
	}
	k := session.New(c)
	t.Cleanup(func() { k.Stop(t.Context()) })
	return &world{f, k, s, path}
}

// forgotten stops the keeper and lists what backends have deleted, in the order of names.
func (w *world) forgotten(t *testing.T) []string {
	t.Helper()
	w.Stop(t.Context())
	return slices.Sorted(slices.Values(w.deleted))
}

func ask(text string, k engine.Keep) *engine.Turn {
	return &engine.Turn{
		Keep: &k, DefaultMode: engine.ModeAgent,
		Messages: []engine.Message{{Role: engine.RoleUser, Parts: []engine.Part{engine.Text(text)}}},
	}
}

// run runs a turn to its end and returns the id of its session and the answer.
func (w *world) run(t *testing.T, turn *engine.Turn) (id, text string, err error) {
	t.Helper()
	x, err := w.Keeper.Execute(t.Context(), turn)
	if err != nil {
		return "", "", err
	}
	defer x.Close()
	a, err := engine.Collect(x)
	if err != nil {
		return x.Session, "", err
	}
	return x.Session, a.Text(), nil
}

func (w *world) must(t *testing.T, turn *engine.Turn) (id, text string) {
	t.Helper()
	id, text, err := w.run(t, turn)
	if err != nil {
		t.Fatal(err)
	}
	return id, text
}

// texts shows a conversation.
func texts(messages []engine.Message) (out []string) {
	for _, m := range messages {
		for _, p := range m.Parts {
			switch v := p.(type) {
			case engine.Text:
				out = append(out, string(v))
			default:
				out = append(out, fmt.Sprintf("%T", v))
			}
		}
	}
	return out
}

func TestContinue(t *testing.T) {
	w := newWorld(t)
	first := ask("one", engine.Keep{Tags: []string{"x"}})
	first.WorkingDir, first.System = "/w", "be brief"
	id, _ := w.must(t, first)
	if got, text := w.must(t, ask("two", engine.Keep{ID: id[:6]})); got != id || text != "answer to 3" {
		t.Errorf("session %s, answer %q", got, text)
	}
	turn := w.last()
	if diff := cmp.Diff([]string{"one", "answer to 1", "two"}, texts(turn.Messages)); diff != "" {
		t.Error(diff)
	}
	want := &engine.Session{ID: id, Token: []byte("token 1"), Held: 2, Settled: true}
	if diff := cmp.Diff(want, turn.Session); diff != "" {
		t.Error(diff)
	}
	if turn.Mode != engine.ModeAgent || turn.WorkingDir != "/w" || turn.System != "be brief" {
		t.Errorf("%+v", turn)
	}
	s, turns, err := w.Session(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "one" || s.Turns != 2 || s.Backend != "a" || s.Model != "a" || s.Mode != "agent" || s.Usage.Input != 4 || string(s.Token) != "token 2" {
		t.Errorf("%+v", s)
	}
	if len(turns) != 2 || turns[1].User[0].Content[0].Text != "two" || turns[1].Assistant[0].Text != "answer to 3" || turns[1].Model != "m1" {
		t.Errorf("%+v", turns)
	}
}

// TestUnknown: each way to name no session says what to do.
func TestUnknown(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		name string
		keep engine.Keep
		code engine.Code
	}{
		{"unknown", engine.Keep{ID: "nothere"}, engine.CodeNotFound},
		{"no id", engine.Keep{ID: "../x"}, engine.CodeInvalidRequest},
		{"too long", engine.Keep{ID: strings.Repeat("a", 65)}, engine.CodeInvalidRequest},
		{"fork of nothing", engine.Keep{Fork: true}, engine.CodeInvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := w.run(t, ask("x", tt.keep))
			if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != tt.code || e.Param == "" {
				t.Errorf("%v", err)
			}
		})
	}
	if len(w.turns) != 0 {
		t.Errorf("%d turns ran", len(w.turns))
	}
}

func TestOwnersAreApart(t *testing.T) {
	w := newWorld(t)
	mine := ask("one", engine.Keep{})
	mine.Owner = "me"
	id, _ := w.must(t, mine)
	if _, _, err := w.run(t, ask("two", engine.Keep{ID: id})); err == nil {
		t.Error("another owner could go on")
	}
	if _, _, err := w.Session(t.Context(), "", id); err == nil {
		t.Error("another owner could look")
	}
	if err := w.Delete(t.Context(), "", id); err == nil {
		t.Error("another owner could delete")
	}
}

// TestNamed: the first request makes the session, later ones bring their whole history.
func TestNamed(t *testing.T) {
	w := newWorld(t)
	turn := ask("one", engine.Keep{ID: "mine", Create: true})
	w.must(t, turn)
	again := &engine.Turn{Keep: &engine.Keep{ID: "mine", Create: true}, Messages: []engine.Message{
		{Role: engine.RoleUser, Parts: []engine.Part{engine.Text("one")}},
		{Role: engine.RoleAssistant, Parts: []engine.Part{engine.Text("as the client has it")}},
		{Role: engine.RoleUser, Parts: []engine.Part{engine.Text("two")}},
	}}
	w.must(t, again)
	if diff := cmp.Diff([]string{"one", "answer to 1", "two"}, texts(w.last().Messages)); diff != "" {
		t.Error(diff)
	}
	again.Messages = again.Messages[:2]
	if _, _, err := w.run(t, again); err == nil {
		t.Error("it went on with nothing new")
	}
}

func TestHandOver(t *testing.T) {
	w := newWorld(t)
	w.media = []string{"image/png"}
	w.answer = func(turn *engine.Turn) ([]engine.Event, error) {
		events, err := w.echo(turn)
		return slices.Insert(events, 1, engine.Event(&engine.ReasoningDelta{Text: "hm", Signature: []byte{1}})), err
	}
	first := ask("one", engine.Keep{})
	first.Messages[0].Parts = append(first.Messages[0].Parts, engine.Blob{MediaType: "image/png", Data: []byte{1}}, engine.Blob{MediaType: "application/pdf", Data: []byte{1, 2}})
	id, _ := w.must(t, first)
	w.must(t, ask("two", engine.Keep{ID: id}))
	if diff := cmp.Diff([]string{"one", "engine.Blob", "[a file was here: application/pdf, 2 bytes]", "engine.Reasoning", "answer to 1", "two"}, texts(w.last().Messages)); diff != "" {
		t.Error(diff)
	}
	other := ask("three", engine.Keep{ID: id})
	other.Backend = "b"
	w.must(t, other)
	if diff := cmp.Diff([]string{"one", "engine.Blob", "[a file was here: application/pdf, 2 bytes]", "answer to 1", "two", "answer to 3", "three"}, texts(w.last().Messages)); diff != "" {
		t.Error(diff)
	}
	if got := w.last().Session; got.Token != nil {
		t.Errorf("b got the token of a: %q", got.Token)
	}
	w.must(t, ask("four", engine.Keep{ID: id}))
	if to, _ := w.Resolve(w.last()); to.Backend != "b" || string(w.last().Session.Token) != "token 3" {
		t.Errorf("%s answered, with token %q", to.Backend, w.last().Session.Token)
	}
	if diff := cmp.Diff([]string{"a token 2"}, w.forgotten(t)); diff != "" { // the first became the second
		t.Errorf("what a has forgotten: %s", diff)
	}
}

// TestHandOverFails: what a backend holds stays when another one that was to go on has
// failed.
func TestHandOverFails(t *testing.T) {
	w := newWorld(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	w.answer = func(*engine.Turn) ([]engine.Event, error) {
		return []engine.Event{&engine.Started{}}, engine.Errorf(engine.CodeCLIFailure, "broken")
	}
	over := ask("two", engine.Keep{ID: id})
	over.Backend = "b"
	if _, _, err := w.run(t, over); err == nil {
		t.Fatal("it worked")
	}
	w.answer = w.echo
	w.must(t, ask("three", engine.Keep{ID: id}))
	want := &engine.Session{ID: id, Token: []byte("token 1"), Held: 2, Settled: true}
	if diff := cmp.Diff(want, w.last().Session); diff != "" || w.forgotten(t) != nil {
		t.Errorf("%s, forgotten: %q", diff, w.deleted)
	}
}

func TestFork(t *testing.T) {
	w := newWorld(t)
	id, _ := w.must(t, ask("one", engine.Keep{Title: "t"}))
	branch, _ := w.must(t, ask("left", engine.Keep{ID: id, Fork: true}))
	if branch == id {
		t.Fatal("it is the same session")
	}
	if want := (&engine.Session{ID: branch, Token: []byte("token 1"), Held: 2, Fork: true, Settled: true}); !cmp.Equal(want, w.last().Session) {
		t.Errorf("%+v", w.last().Session)
	}
	w.must(t, ask("right", engine.Keep{ID: id}))
	w.must(t, ask("left again", engine.Keep{ID: branch}))
	if diff := cmp.Diff([]string{"one", "answer to 1", "left", "answer to 3", "left again"}, texts(w.last().Messages)); diff != "" {
		t.Error(diff)
	}
	if got := w.last().Session; got.Fork || string(got.Token) != "token 2" {
		t.Errorf("%+v", got)
	}
	s, _, err := w.Session(t.Context(), "", branch)
	if err != nil || s.ParentID != id || s.Turns != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	// A branch whose first turn fails was never there.
	w.answer = func(*engine.Turn) ([]engine.Event, error) { return nil, engine.Errorf(engine.CodeOverloaded, "no") }
	if _, _, err := w.run(t, ask("x", engine.Keep{ID: id, Fork: true})); err == nil {
		t.Error("it worked")
	}
	page, err := w.Sessions(t.Context(), "", store.Filter{})
	if err != nil || page.Total != 2 {
		t.Errorf("%d sessions, %v", page.Total, err)
	}
}

// TestFailed: what the client has seen of a failed turn is kept, and what it has not
// seen is not. The backend's own session counts no more when it may hold another answer.
func TestFailed(t *testing.T) {
	failure := engine.Errorf(engine.CodeOverloaded, "overloaded")
	refusal := engine.Errorf(engine.CodeInvalidRequest, "refused")
	canceled := engine.Errorf(engine.CodeCanceled, "gone")
	for _, tt := range []struct {
		name   string
		events []engine.Event
		err    error
		want   []string // what the next turn goes on with
		status string
		token  bool
	}{
		{"refused", nil, failure, []string{"one", "answer to 1", "three"}, session.StatusActive, true},
		{"at once", []engine.Event{&engine.Started{}}, failure, []string{"one", "answer to 1", "three"}, session.StatusError, true},
		{"for what it asks", []engine.Event{&engine.Started{}}, refusal, []string{"one", "answer to 1", "three"}, session.StatusError, false},
		{"half-way", []engine.Event{&engine.Started{}, &engine.TextDelta{Text: "half"}}, failure, []string{"one", "answer to 1", "two", "half", "three"}, session.StatusError, false},
		{"client gone", []engine.Event{&engine.Started{}, &engine.TextDelta{Text: "half"}}, canceled, []string{"one", "answer to 1", "two", "half", "three"}, session.StatusActive, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			id, _ := w.must(t, ask("one", engine.Keep{}))
			w.answer = func(*engine.Turn) ([]engine.Event, error) { return tt.events, tt.err }
			if _, _, err := w.run(t, ask("two", engine.Keep{ID: id})); err == nil {
				t.Fatal("it worked")
			}
			s, _, err := w.Session(t.Context(), "", id)
			if err != nil || s.Status != tt.status {
				t.Errorf("status %q, %v", s.Status, err)
			}
			w.answer = w.echo
			w.must(t, ask("three", engine.Keep{ID: id}))
			if diff := cmp.Diff(tt.want, texts(w.last().Messages)); diff != "" {
				t.Error(diff)
			}
			if got := w.last().Session.Token != nil; got != tt.token {
				t.Errorf("token: %v", got)
			}
			if got := len(w.forgotten(t)) == 0; got != tt.token {
				t.Errorf("forgotten: %q", w.deleted)
			}
		})
	}
}

// TestClosed: a client that goes in mid-answer leaves its session free, with what it
// has seen.
func TestClosed(t *testing.T) {
	w := newWorld(t)
	x, err := w.Keeper.Execute(t.Context(), ask("one", engine.Keep{ID: "s", Create: true}))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := x.Next(); err != nil {
			t.Fatal(err)
		}
	}
	x.Close()
	x.Close()
	_, turns, err := w.Session(t.Context(), "", "s")
	if err != nil || len(turns) != 1 || turns[0].FinishReason != "cancelled" || turns[0].Assistant[0].Text != "answer to 1" {
		t.Fatalf("%+v, %v", turns, err)
	}
	w.must(t, ask("two", engine.Keep{ID: "s"}))
}

// TestBusy: a session has one turn at a time, whoever asks.
func TestBusy(t *testing.T) {
	w := newWorld(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	x, err := w.Keeper.Execute(t.Context(), ask("two", engine.Keep{ID: id}))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = w.run(t, ask("three", engine.Keep{ID: id}))
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeConflict {
		t.Errorf("%v", err)
	}
	if err := w.Delete(t.Context(), "", id); err == nil {
		t.Error("it was deleted in mid-turn")
	}
	if _, _, err := w.run(t, ask("branch", engine.Keep{ID: id, Fork: true})); err != nil {
		t.Errorf("a branch: %v", err)
	}
	// The backend's session may hold the question already that the branch is to be without.
	if got := w.last().Session; got.Token != nil || got.Held != 2 {
		t.Errorf("a branch in mid-turn: %+v", got)
	}
	x.Close()
	w.must(t, ask("four", engine.Keep{ID: id}))
}

// TestTools: the backend's own tools are shown and not sent again; the client's are
// part of the conversation.
func TestTools(t *testing.T) {
	w := newWorld(t)
	call := engine.ToolCall{ID: "c1", Name: "weather", Arguments: `{"city":"Oslo"}`}
	w.answer = func(*engine.Turn) ([]engine.Event, error) {
		return []engine.Event{
			&engine.Started{},
			&engine.ToolCallDone{ToolCall: engine.ToolCall{ID: "b1", Name: "Bash", Arguments: `{"command":"ls"}`}},
			&engine.ToolResultEvent{ToolResult: engine.ToolResult{CallID: "b1", Parts: []engine.Part{engine.Text(strings.Repeat("x", 10000))}}},
			&engine.TextDelta{Text: "let me see"},
			&engine.ToolCallDone{ToolCall: call, Client: true},
			&engine.Completed{Reason: engine.FinishToolCalls},
		}, nil
	}
	id, _ := w.must(t, ask("one", engine.Keep{}))
	w.answer = w.echo
	next := ask("", engine.Keep{ID: id})
	next.Messages[0].Parts = []engine.Part{engine.ToolResult{CallID: "c1", Parts: []engine.Part{engine.Text("rain")}}}
	w.must(t, next)
	got := w.last().Messages
	if want := []engine.Part{engine.Text("let me see"), call}; !cmp.Equal(want, got[1].Parts) {
		t.Errorf("%+v", got[1].Parts)
	}
	if r, ok := got[2].Parts[0].(engine.ToolResult); !ok || r.CallID != "c1" {
		t.Errorf("%+v", got[2])
	}
	_, turns, err := w.Session(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	parts := turns[0].Assistant
	if len(parts) != 4 || parts[0].Type != "tool_use" || parts[0].Arguments != `{"command":"ls"}` || parts[1].Type != "tool_output" || len(parts[1].Content[0].Text) > 5000 {
		t.Errorf("%+v", parts)
	}
}

// TestPreview: a dry run sees the session and leaves it alone.
func TestPreview(t *testing.T) {
	w := newWorld(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	if _, err := w.Keeper.Preview(t.Context(), ask("two", engine.Keep{ID: id})); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "answer to 1", "two"}, texts(w.last().Messages)); diff != "" {
		t.Error(diff)
	}
	if got := w.last(); got.Model != "a" || string(got.Session.Token) != "token 1" {
		t.Errorf("%+v", got)
	}
	if _, err := w.Keeper.Preview(t.Context(), ask("two", engine.Keep{ID: "nothere"})); err == nil {
		t.Error("an unknown session had a preview")
	}
	s, _, err := w.Session(t.Context(), "", id)
	if err != nil || s.Turns != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestBoundToWorkingDir(t *testing.T) {
	for _, bound := range []bool{false, true} {
		w := newWorld(t)
		w.bound = bound
		first := ask("one", engine.Keep{})
		first.WorkingDir = "/a"
		id, _ := w.must(t, first)
		next := ask("two", engine.Keep{ID: id})
		next.WorkingDir = "/b"
		w.must(t, next)
		if got := w.last().Session.Token == nil; got != bound {
			t.Errorf("bound %v: no token %v", bound, got)
		}
	}
}

// TestTooLarge: an answer that cannot be kept is not acknowledged.
func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	w.answer = func(*engine.Turn) ([]engine.Event, error) {
		return []engine.Event{
			&engine.Started{}, &engine.TextDelta{Text: strings.Repeat("x", 5<<20)}, &engine.Completed{Reason: engine.FinishStop},
		}, nil
	}
	x, err := w.Keeper.Execute(t.Context(), ask("one", engine.Keep{ID: "s", Create: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for err == nil {
		_, err = x.Next()
	}
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeTooLarge || !strings.Contains(e.Message, "ephemeral") {
		t.Errorf("%v", err)
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	id, _ := w.must(t, ask("one", engine.Keep{}))
	if err := w.Delete(t.Context(), "", id[:6]); err == nil {
		t.Error("a prefix deleted it")
	}
	if err := w.Delete(t.Context(), "", id); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a token 1"}, w.deleted); diff != "" {
		t.Error(diff)
	}
	if _, _, err := w.Session(t.Context(), "", id); err == nil {
		t.Error("it is still there")
	}
}

func TestSettings(t *testing.T) {
	w := newWorld(t, func(c *session.Config) { c.DefaultTags, c.OmitUsage = []string{"all"}, true })
	id, _ := w.must(t, ask("one\ntwo", engine.Keep{Tags: []string{"x"}, Metadata: map[string]string{"k": "1"}}))
	w.must(t, ask("two", engine.Keep{ID: id, Tags: []string{"y"}, Metadata: map[string]string{"l": "2"}, Title: "new"}))
	s, _, err := w.Session(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(s.Tags, []string{"all", "x", "y"}) || s.Usage != (store.Usage{}) || s.Title != "new" || !cmp.Equal(s.Metadata, map[string]string{"k": "1", "l": "2"}) {
		t.Errorf("%+v", s)
	}
}

// TestWithoutStore: prompts work, and nothing is claimed to be kept.
func TestWithoutStore(t *testing.T) {
	w := newWorld(t, func(c *session.Config) { c.Store = nil })
	if id, text := w.must(t, ask("one", engine.Keep{})); id != "" || text == "" {
		t.Errorf("session %q, answer %q", id, text)
	}
	for name, err := range map[string]error{
		"continue": func() error { _, _, err := w.run(t, ask("x", engine.Keep{ID: "s"})); return err }(),
		"list":     func() error { _, err := w.Sessions(t.Context(), "", store.Filter{}); return err }(),
		"show":     func() error { _, _, err := w.Session(t.Context(), "", "s"); return err }(),
		"delete":   w.Delete(t.Context(), "", "s"),
	} {
		if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

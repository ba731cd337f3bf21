package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

func testTurns(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a", Status: "new"})
	turns := []store.SessionTurn{
		{
			Seq: 1, User: []byte(`"q"`), Assistant: []byte(`[{"text":"a"}]`), Usage: store.Usage{Input: 1, Output: 2, Cached: 3, Reasoning: 4},
			Backend: "claude", Model: "opus", FinishReason: "stop", Created: time.Unix(5, 0).UTC(),
		},
		{Seq: 2, Usage: store.Usage{Input: 10}, Created: time.Unix(6, 0).UTC()},
	}
	changes := []store.Append{{Turn: turns[0], Change: store.Change{Status: new("active"), Mode: new("chat"), WorkingDir: new("/d"), System: new("s")}}, {Turn: turns[1]}}
	for i, a := range changes {
		a.Turn.Seq = 0
		if seq, err := s.AppendTurn(t.Context(), "", "a", a); err != nil || seq != i+1 {
			t.Fatalf("turn %d has got %d, %v", i+1, seq, err)
		}
	}
	got := read(t, s, "a")
	if !got.Updated.After(got.Created) {
		t.Errorf("a turn has left the session as old as %v", got.Updated)
	}
	want := &store.Session{
		ID: "a", Status: "active", Backend: "claude", Model: "opus", Mode: "chat", WorkingDir: "/d", System: "s",
		Turns: 2, Usage: store.Usage{Input: 11, Output: 2, Cached: 3, Reasoning: 4}, Created: got.Created, Updated: got.Updated,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	read, err := s.Turns(t.Context(), "", "a")
	if diff := cmp.Diff(turns, read); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	_, err = s.AppendTurn(t.Context(), "", "none", store.Append{})
	absent(t, "appending to none", err)
	_, err = s.Turns(t.Context(), "", "none")
	absent(t, "turns of none", err)
}

// testHandOver: a session goes on with another backend, and is listed as that one's.
func testHandOver(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a", Backend: "claude", Model: "opus", Title: "word", Tags: []string{"x"}, Token: []byte("claude's")})
	a := question("giraffe")
	a.Turn.Backend = "codex"
	appendTurn(t, s, "a", a)
	if got := read(t, s, "a"); got.Backend != "codex" || got.Model != "" || got.Token != nil {
		t.Errorf("handed over it is %+v", got)
	}
	for _, f := range []store.Filter{{}, {Tag: "x"}, {Query: "word"}, {Query: "word", Tag: "x"}} {
		f.Backend = "codex"
		if _, total := ids(t, s, "", f); total != 1 {
			t.Errorf("%+v finds %d", f, total)
		}
		f.Backend = "claude"
		if names, total := ids(t, s, "", f); total != 0 || len(names) != 0 {
			t.Errorf("%+v finds %v (%d)", f, names, total)
		}
	}
	a.Turn.Backend, a.Turn.Model, a.Change.Token = "claude", "haiku", new([]byte("claude's second"))
	appendTurn(t, s, "a", a)
	if got := read(t, s, "a"); got.Backend != "claude" || got.Model != "haiku" || string(got.Token) != "claude's second" {
		t.Errorf("handed back it is %+v", got)
	}
}

func testToken(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a", Backend: "claude", Token: []byte("t0")})
	turn := question("giraffe")
	turn.Turn.Backend = "claude"
	for _, test := range []struct {
		name  string
		token *[]byte
		want  string
	}{
		{"kept", nil, "t0"}, {"set", new([]byte("t1")), "t1"}, {"kept again", nil, "t1"}, {"cleared", new([]byte(nil)), ""}, {"kept cleared", nil, ""},
	} {
		turn.Change.Token = test.token
		appendTurn(t, s, "a", turn)
		if got := read(t, s, "a"); string(got.Token) != test.want || (test.want == "") != (got.Token == nil) {
			t.Errorf("%s: %q", test.name, got.Token)
		}
	}
	changeSession(t, s, store.Change{Token: new([]byte("t2"))})
	before := read(t, s, "a")
	changeSession(t, s, store.Change{Status: new("error"), Token: new([]byte{})}) // as after a turn that failed
	want := *before
	want.Status, want.Token = "error", nil
	if diff := cmp.Diff(&want, read(t, s, "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func testFork(t *testing.T, s Sessions) {
	create(t, s, store.Session{
		ID: "a", Backend: "claude", Model: "opus", Mode: "agent", WorkingDir: "/d", System: "s", Title: "elephant", Status: "active",
		Tags: []string{"x"}, Token: []byte("t"), Metadata: map[string]string{"k": "v"},
	})
	turn := question("giraffe")
	turn.Turn.Usage.Input = 5
	appendTurn(t, s, "a", turn)
	fork := &store.Session{ID: "b", Model: "haiku"}
	if token, _, err := s.ForkSession(t.Context(), "", "a", fork); err != nil || string(token) != "t" {
		t.Fatalf("token %q, %v", token, err)
	}
	if diff := cmp.Diff(read(t, s, "b"), fork); diff != "" {
		t.Errorf("what was given is not what is kept (-want +got):\n%s", diff)
	}
	appendTurn(t, s, "a", question("only in the original"))
	appendTurn(t, s, "b", question("only in the fork"))
	got := read(t, s, "b")
	want := &store.Session{
		ID: "b", ParentID: "a", Backend: "claude", Model: "haiku", Mode: "agent", WorkingDir: "/d", System: "s", Title: "elephant", Status: "active",
		Tags: []string{"x"}, Metadata: map[string]string{"k": "v"}, Turns: 2, Usage: store.Usage{Input: 5}, Created: got.Created, Updated: got.Updated,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	turns, err := s.Turns(t.Context(), "", "b")
	if err != nil || len(turns) != 2 || string(turns[0].User) != `"giraffe"` || string(turns[1].User) != `"only in the fork"` {
		t.Errorf("the fork's turns are %v, %v", turns, err)
	}
	for query, want := range map[string]int{"giraffe": 2, "elephant": 2, "original": 1, "fork": 1} {
		if names, _ := ids(t, s, "", store.Filter{Query: query, Tag: "x", WorkingDir: "/d"}); len(names) != want {
			t.Errorf("%s finds %v", query, names)
		}
	}
	own := &store.Session{ID: "c", Backend: "codex", Title: "own", Tags: []string{"y"}, Token: []byte("u")}
	lease(t, s, "a")
	if token, _, err := s.ForkSession(t.Context(), "", "a", own); err != nil || token != nil {
		t.Fatalf("in mid-turn: token %q, %v", token, err)
	}
	if own.Backend != "codex" || own.Model != "" || own.Title != "own" || own.Tags[0] != "y" || string(own.Token) != "u" || own.Turns != 2 {
		t.Errorf("a fork of its own is %+v", own)
	}
	if _, _, err := s.ForkSession(t.Context(), "", "a", &store.Session{ID: "b"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("forked twice: %v", err)
	}
	_, _, err = s.ForkSession(t.Context(), "", "none", &store.Session{ID: "d"})
	absent(t, "forking none", err)
}

func testLease(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a"}, store.Session{ID: "b"})
	release := lease(t, s, "a")
	_, err := s.Lease(t.Context(), "", "a")
	busy(t, "leasing twice", err)
	lease(t, s, "b")
	appendTurn(t, s, "a", question("by its holder"))
	_, err = s.DeleteSession(t.Context(), "", "a")
	busy(t, "deleting a leased one", err)
	release()
	second := lease(t, s, "a")
	release() // once more: it is not its own any longer
	_, err = s.Lease(t.Context(), "", "a")
	busy(t, "leasing what somebody else has leased since", err)
	second()
	if _, err := s.DeleteSession(t.Context(), "", "a"); err != nil {
		t.Error(err)
	}
	create(t, s, store.Session{ID: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	release, err = s.Lease(ctx, "", "a")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	release()
	lease(t, s, "a")
	_, err = s.Lease(t.Context(), "", "none")
	absent(t, "leasing none", err)
}

func testCancelled(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, session := s.Session(ctx, "", "a")
	_, list := s.Sessions(ctx, "", store.Filter{})
	_, turn := s.AppendTurn(ctx, "", "a", store.Append{})
	_, lease := s.Lease(ctx, "", "a")
	for what, err := range map[string]error{
		"create": s.CreateSession(ctx, &store.Session{ID: "b"}, nil), "read": session, "list": list, "turn": turn, "lease": lease,
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if names, _ := ids(t, s, "", store.Filter{}); len(names) != 1 || read(t, s, "a").Turns != 0 {
		t.Errorf("what was cancelled has been done: %v", names)
	}
}

package storetest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

func draft(t *testing.T, s Sessions, id string) (release func()) {
	t.Helper()
	release, err := s.DraftSession(t.Context(), &store.Session{ID: id, Title: "elephant", Tags: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func testDraft(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "kept", Created: at(0)})
	release := draft(t, s, "a")
	if names, _ := ids(t, s, "", store.Filter{}); !cmp.Equal(names, []string{"kept", "a"}) {
		t.Errorf("the list is %v", names)
	}
	_, err := s.DraftSession(t.Context(), &store.Session{ID: "a"})
	busy(t, "a second draft", err)
	_, err = s.Lease(t.Context(), "", "a")
	busy(t, "leasing a draft", err)
	if _, err := s.DraftSession(t.Context(), &store.Session{ID: "a", Owner: "anna"}); err != nil {
		t.Errorf("another owner's: %v", err)
	}
	release()
	_, err = s.Session(t.Context(), "", "a")
	absent(t, "a draft without a turn", err)
	for _, f := range []store.Filter{{Tag: "x"}, {Query: "elephant"}} {
		if names, total := ids(t, s, "", f); len(names) != 0 || total != 0 {
			t.Errorf("%+v finds %v (%d)", f, names, total)
		}
	}
	release = draft(t, s, "a")
	appendTurn(t, s, "a", question("giraffe"))
	if gone, err := s.PruneSessions(t.Context(), store.Policy{}); err != nil || len(gone) != 0 {
		t.Errorf("pruning removes %+v, %v", gone, err)
	}
	release()
	if got := read(t, s, "a"); got.Turns != 1 || got.Torn || !got.Updated.After(got.Created) {
		t.Errorf("with a turn it is %+v", got)
	}
	if names, total := ids(t, s, "", store.Filter{}); !cmp.Equal(names, []string{"a", "kept"}) || total != 2 {
		t.Errorf("the list is %v (%d)", names, total)
	}
	if _, err := s.DraftSession(t.Context(), &store.Session{ID: "a"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("a draft of what is there: %v", err)
	}
	_, release, err = s.ForkSession(t.Context(), "", "a", &store.Session{ID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Lease(t.Context(), "", "b")
	busy(t, "leasing a branch", err)
	release()
	_, err = s.Session(t.Context(), "", "b")
	absent(t, "a branch without a turn", err)
}

// testRelease: a turn gives the lease back, and what does so once more takes none away.
func testRelease(t *testing.T, s Sessions) {
	release := draft(t, s, "a")
	a := question("giraffe")
	a.Release = true
	appendTurn(t, s, "a", a)
	second := lease(t, s, "a")
	release()
	_, err := s.Lease(t.Context(), "", "a")
	busy(t, "what somebody has leased since", err)
	appendTurn(t, s, "a", question("lion"))
	_, err = s.Lease(t.Context(), "", "a")
	busy(t, "what a turn has not given back", err)
	second()
	lease(t, s, "a")
}

// testTwoDraft: of two that begin the same session one is told so at its beginning,
// whoever asks, and whether the first one's turn is written or not.
func testTwoDraft(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	second := again(t)
	create(t, first, store.Session{ID: "other"})
	lease(t, second, "other") // so that both have leased something
	release := draft(t, first, "a")
	_, err := second.DraftSession(t.Context(), &store.Session{ID: "a"})
	busy(t, "a draft", err)
	_, err = second.AppendTurn(t.Context(), "", "a", store.Append{})
	busy(t, "a turn", err)
	if gone, err := second.PruneSessions(t.Context(), store.Policy{}); err != nil || len(gone) != 0 {
		t.Errorf("pruning removes %+v, %v", gone, err)
	}
	release()
	release = draft(t, second, "a")
	appendTurn(t, second, "a", question("giraffe"))
	_, err = first.DraftSession(t.Context(), &store.Session{ID: "a"})
	busy(t, "a draft after its turn", err)
	release()
	if _, err := first.DraftSession(t.Context(), &store.Session{ID: "a"}); !errors.Is(err, store.ErrExists) {
		t.Errorf("a draft of what is there: %v", err)
	}
}

// testClosedDraft: what is left in mid-turn is torn, and when that turn was its first one
// it is no session.
func testClosedDraft(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	second := again(t)
	create(t, first, store.Session{ID: "kept", Backend: "claude", Token: []byte("t")})
	draft(t, first, "new")
	draft(t, first, "begun")
	if _, _, err := first.ForkSession(t.Context(), "", "kept", &store.Session{ID: "branch"}); err != nil {
		t.Fatal(err)
	}
	lease(t, first, "kept")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	draft(t, second, "begun") // in place of the one that was left
	gone, err := second.PruneSessions(t.Context(), store.Policy{})
	if diff := cmp.Diff([]store.Deleted{{ID: "new"}, {ID: "branch", Backend: "claude"}}, gone); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if names, _ := ids(t, second, "", store.Filter{}); !cmp.Equal(names, []string{"kept", "begun"}) {
		t.Errorf("there are %v", names)
	}
	lease(t, second, "kept")
	if got := read(t, second, "kept"); !got.Torn || string(got.Token) != "t" {
		t.Errorf("what was left in mid-turn is %+v", got)
	}
	if token, _, err := second.ForkSession(t.Context(), "", "kept", &store.Session{ID: "branch"}); err != nil || token != nil {
		t.Errorf("its branch has the token %q, %v", token, err)
	}
	a := question("giraffe")
	a.Turn.Backend, a.Change.Token = "claude", new([]byte("u"))
	appendTurn(t, second, "kept", a)
	if got := read(t, second, "kept"); got.Torn || string(got.Token) != "u" {
		t.Errorf("with a new turn it is %+v", got)
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/clinvk/clinvk/host/store"
)

// Sessions is a store of sessions. What it has returned without an error survives
// the death of its process. Unless it says otherwise, a method that names a session
// takes its whole id and fails with store.ErrNotFound, also for another owner's.
type Sessions interface {
	// CreateSession makes a session, with first as its first turn unless that is nil, and sets
	// what the store sets in s. It fails with store.ErrExists.
	CreateSession(ctx context.Context, s *store.Session, first *store.Append) error
	// DraftSession makes a session that is leased, for the turn that is to be its first.
	// Until then it is the last in lists. Released without one it is no more; when its process ends PruneSessions deletes it. It
	// fails with store.ErrExists, and with store.ErrBusy when that one is leased.
	DraftSession(ctx context.Context, s *store.Session) (release func(), err error)
	// Session returns one session.
	Session(ctx context.Context, owner, id string) (*store.Session, error)
	// FindSession returns the session with this id, or else the only one whose id begins
	// with it. It fails with store.ErrAmbiguous.
	FindSession(ctx context.Context, owner, prefix string) (*store.Session, error)
	// Turns returns the transcript, oldest first.
	Turns(ctx context.Context, owner, id string) ([]store.SessionTurn, error)
	// Sessions returns one page of the owner's sessions that the filter chooses.
	Sessions(ctx context.Context, owner string, f store.Filter) (store.Page, error)
	// CountSessions counts those of all owners, however many there are in the same time.
	CountSessions(ctx context.Context) (int, error)

	// Lease reserves the session for the caller until release is called, the store is closed
	// or its process has ended in whatever way. It fails with store.ErrBusy when it
	// is leased already, by this store or another.
	Lease(ctx context.Context, owner, id string) (release func(), err error)
	// AppendTurn adds a turn and returns its number. It fails with store.ErrBusy when
	// another store has leased the session.
	AppendTurn(ctx context.Context, owner, id string, a store.Append) (seq int, err error)
	// ChangeSession changes what c says. It fails with store.ErrBusy when c has a Token and
	// another store has leased the session.
	ChangeSession(ctx context.Context, owner, id string, c store.Change) error
	// ForkSession makes the session to with the turns that the session from has now, as a
	// draft. to needs ID; what it leaves empty is taken from the original, the Token never,
	// the Model not with another Backend. It sets what the store sets in to. It fails with
	// store.ErrExists. token is the original's; nil while that is leased or torn.
	ForkSession(ctx context.Context, owner, from string, to *store.Session) (token []byte, release func(), err error)

	// DeleteSession removes a session with its transcript and returns what it was. It
	// fails with store.ErrBusy while it is leased.
	DeleteSession(ctx context.Context, owner, id string) (*store.Session, error)
	// CleanSessions deletes the owner's sessions that c chooses, apart from leased ones. When
	// it fails, those that it has deleted by then are returned too.
	CleanSessions(ctx context.Context, owner string, c store.Cleaning) ([]store.Deleted, error)
	// PruneSessions deletes what is beyond the policy, as CleanSessions does, and the drafts
	// that processes have left.
	PruneSessions(ctx context.Context, p store.Policy) ([]store.Deleted, error)
	Close() error
}

// TestSessions runs the suite. open makes an empty store; again opens the same one a
// second time, whether the first is closed or not. Whoever opens closes.
func TestSessions(t *testing.T, open func(t *testing.T) (first Sessions, again func(t *testing.T) Sessions)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Sessions)
	}{
		{"session", testSession},
		{"session with a turn", testSessionWithTurn},
		{"another owner", testOwner},
		{"prefix", testPrefix},
		{"turns", testTurns},
		{"hand-over", testHandOver},
		{"change", testChange},
		{"token", testToken},
		{"delete", testDelete},
		{"fork", testFork},
		{"lease", testLease},
		{"draft", testDraft},
		{"turn that releases", testRelease},
		{"count", testCount},
		{"order", testOrder},
		{"filter", testFilter},
		{"filter after changes", testFilterChanged},
		{"search", testSearch},
		{"search is bounded", testSearchBound},
		{"long text", testLongText},
		{"clean", testClean},
		{"prune by age", testPruneAge},
		{"prune by count", testPruneCount},
		{"cancelled", testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, _ := open(t)
			test.run(t, first)
		})
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Sessions, func(*testing.T) Sessions)
	}{
		{"opened again", testReopen},
		{"two at once", testTwo},
		{"lease of another process", testTwoLease},
		{"lease of one that is closed", testClosedLease},
		{"draft of another process", testTwoDraft},
		{"draft of one that is closed", testClosedDraft},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, again := open(t)
			test.run(t, first, again)
		})
	}
}

func create(t *testing.T, s Sessions, sessions ...store.Session) {
	t.Helper()
	for _, x := range sessions {
		if err := s.CreateSession(t.Context(), &x, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// question is a turn with this text.
func question(text string) store.Append {
	return store.Append{Text: text, Turn: store.SessionTurn{User: fmt.Appendf(nil, "%q", text)}}
}

func appendTurn(t *testing.T, s Sessions, id string, a store.Append) {
	t.Helper()
	if _, err := s.AppendTurn(t.Context(), "", id, a); err != nil {
		t.Fatal(err)
	}
}

// changeSession changes the session a.
func changeSession(t *testing.T, s Sessions, c store.Change) {
	t.Helper()
	if err := s.ChangeSession(t.Context(), "", "a", c); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s Sessions, id string) *store.Session {
	t.Helper()
	x, err := s.Session(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func lease(t *testing.T, s Sessions, id string) (release func()) {
	t.Helper()
	release, err := s.Lease(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func busy(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrBusy) {
		t.Errorf("%s: got %v, want store.ErrBusy", what, err)
	}
}

// ids lists the sessions that the filter chooses.
func ids(t *testing.T, s Sessions, owner string, f store.Filter) (names []string, total int) {
	t.Helper()
	page, err := s.Sessions(t.Context(), owner, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page.Sessions {
		names = append(names, x.ID)
	}
	return names, page.Total
}

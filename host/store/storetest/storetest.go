package storetest

import (
	"context"

	"github.com/clinvk/clinvk/host/store"
)

// Sessions is a store of sessions. What it has returned without an error survives
// the death of its process. Unless it says otherwise, a method that names a session
// takes its whole id and fails with store.ErrNotFound, also for another owner's.
type Sessions interface {
	// CreateSession makes a session, with first as its first turn unless that is nil, and sets
	// what the store sets in s. It fails with store.ErrExists.
	CreateSession(ctx context.Context, s *store.Session, first *store.Append) error
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
	// ForkSession makes the session to with the turns that the session from has now. to needs
	// ID; what it leaves empty is taken from the original, the Token never, the Model not
	// with another Backend. It sets what the store sets in to. It fails with store.ErrExists.
	ForkSession(ctx context.Context, owner, from string, to *store.Session) error

	// DeleteSession removes a session with its transcript and returns what it was. It
	// fails with store.ErrBusy while it is leased.
	DeleteSession(ctx context.Context, owner, id string) (*store.Session, error)
	// CleanSessions deletes the owner's sessions that c chooses, apart from leased ones. When
	// it fails, those that it has deleted by then are returned too.
	CleanSessions(ctx context.Context, owner string, c store.Cleaning) ([]store.Deleted, error)
	// PruneSessions deletes what is beyond the policy, as CleanSessions does.
	PruneSessions(ctx context.Context, p store.Policy) ([]store.Deleted, error)
	Close() error
}

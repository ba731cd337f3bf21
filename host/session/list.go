package session

import (
	"context"
	"errors"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

// Turn of a transcript.
type Turn struct {
	store.SessionTurn
	User      []Message
	Assistant []Part
}

// Sessions lists an owner's sessions.
func (k *Keeper) Sessions(ctx context.Context, owner string, f store.Filter) (store.Page, error) {
	if k.config.Store == nil {
		return store.Page{}, errNoStore
	}
	page, err := k.config.Store.Sessions(ctx, owner, f)
	if err != nil {
		return store.Page{}, k.unsaved(err)
	}
	return page, nil
}

// Session finds a session by its id or a prefix that no other one has.
func (k *Keeper) Session(ctx context.Context, owner, id string) (*store.Session, []Turn, error) {
	if k.config.Store == nil {
		return nil, nil, errNoStore
	}
	if !ValidID.MatchString(id) {
		return nil, nil, k.explain(id, store.ErrNotFound)
	}
	s, err := k.config.Store.FindSession(ctx, owner, id)
	if err != nil {
		return nil, nil, k.explain(id, err)
	}
	kept, err := k.config.Store.Turns(ctx, owner, s.ID)
	if err != nil {
		return nil, nil, k.explain(id, err)
	}
	turns := make([]Turn, len(kept))
	for i, t := range kept {
		turns[i].SessionTurn = t
		if turns[i].User, err = decode[Message](t.User); err != nil {
			return nil, nil, err
		}
		if turns[i].Assistant, err = decode[Part](t.Assistant); err != nil {
			return nil, nil, err
		}
	}
	return s, turns, nil
}

// Change changes title, tags or metadata of the session with exactly this id.
func (k *Keeper) Change(ctx context.Context, owner, id string, c store.Change) (*store.Session, error) {
	if k.config.Store == nil {
		return nil, errNoStore
	}
	if err := k.config.Store.ChangeSession(ctx, owner, id, c); err != nil {
		return nil, k.explain(id, err)
	}
	s, err := k.config.Store.Session(ctx, owner, id)
	return s, k.explain(id, err)
}

// Delete deletes the session with exactly this id, and the backend's own with it. One
// with a turn under way stays.
func (k *Keeper) Delete(ctx context.Context, owner, id string) error {
	if k.config.Store == nil {
		return errNoStore
	}
	s, err := k.config.Store.DeleteSession(ctx, owner, id)
	if err != nil {
		return k.explain(id, err)
	}
	k.forget(ctx, s.ID, s.Backend, s.Token)
	k.clear(owner, id)
	return nil
}

// clear removes the directory that a session had of its own.
func (k *Keeper) clear(owner, id string) {
	if k.config.Home == "" {
		return
	}
	if err := k.dirs.remove(owner, id); err != nil {
		k.log.Warn("the working directory of a session was not deleted", "session", id, "error", err)
	}
}

// forget has a backend delete its own session. When it cannot, a file stays behind
// that nothing refers to: no reason to fail.
func (k *Keeper) forget(ctx context.Context, id, backend string, token []byte) {
	if len(token) == 0 {
		return
	}
	if err := k.config.Engine.DeleteSession(ctx, backend, token); err != nil {
		k.log.Warn("the backend's own part of a session was not deleted", "session", id, "backend", backend, "error", err)
	}
}

// pruneEvery is how often old sessions are looked for: retention is counted in days.
const pruneEvery = time.Hour

// Run removes sessions that are older than the retention, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	if k.config.Store == nil {
		return
	}
	tick := time.NewTicker(pruneEvery)
	defer tick.Stop()
	for {
		k.prune(ctx, k.config.Retention)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Tidy takes away what first turns have left whose process did not end them.
func (k *Keeper) Tidy(ctx context.Context) {
	if k.config.Store != nil {
		k.prune(ctx, 0)
	}
}

// prune deletes sessions that are older; 0: none is.
func (k *Keeper) prune(ctx context.Context, age time.Duration) {
	gone, err := k.config.Store.PruneSessions(ctx, store.Policy{Age: age})
	if err != nil && !errors.Is(err, context.Canceled) {
		k.log.Warn("old sessions were not deleted", "error", err)
	}
	for _, d := range gone {
		k.forget(ctx, d.ID, d.Backend, d.Token)
		k.clear(d.Owner, d.ID)
	}
	if len(gone) > 0 {
		k.log.Info("sessions were deleted that are old or never had a turn", "count", len(gone))
	}
}

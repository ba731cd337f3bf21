package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"github.com/clinvk/clinvk/host/store"
)

// Lease reserves the session for the caller until release is called, the store is
// closed or its process has ended in whatever way. It fails with store.ErrNotFound,
// and with store.ErrBusy when it is leased already, by this store or another. release
// may be called more than once.
func (s *Store) Lease(ctx context.Context, owner, id string) (release func(), err error) {
	return s.take(ctx, "taking session "+id, func(tx *sql.Tx) (int64, error) {
		row, err := rowOf(ctx, tx, owner, id)
		if err != nil {
			return 0, err
		}
		return row, s.mustBeFree(ctx, tx, row)
	})
}

// take leases the session that find finds or makes.
func (s *Store) take(ctx context.Context, what string, find func(*sql.Tx) (row int64, err error)) (release func(), err error) {
	var row int64
	var name string
	key := new(byte) // unlike that of any other lease
	err = s.update(ctx, what, func(tx *sql.Tx) error {
		if row, err = find(tx); err != nil {
			return err
		}
		if name, err = s.holder.own(); err != nil {
			return err
		}
		if _, err = tx.ExecContext(ctx, "UPDATE sessions SET lease_holder = ? WHERE id = ?", name, row); err != nil {
			return err
		}
		s.leased.Store(row, key) // before anybody else can write
		return nil
	})
	if err != nil {
		s.leased.CompareAndDelete(row, key)
		return nil, err
	}
	return sync.OnceFunc(func() { s.release(context.WithoutCancel(ctx), row, key, name) }), nil
}

// release gives a session back, or takes it away when it is still a draft. To this store
// it is free from the beginning: the file cannot always be told, as when there is no room
// left.
func (s *Store) release(ctx context.Context, row int64, key *byte, name string) {
	if !s.leased.CompareAndDelete(row, key) {
		return // it was, with its turn
	}
	err := s.update(ctx, "giving a session back", func(tx *sql.Tx) error {
		if _, again := s.leased.Load(row); again {
			return nil
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ? AND lease_holder = ? AND draft = 1", row, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE sessions SET lease_holder = '' WHERE id = ? AND lease_holder = ?", row, name)
		return err
	})
	if err != nil && s.holder.known() != "" { // else the store is closed and has given all back
		s.config.Logger.Error("until this clinvk has ended no other one can continue a session", "error", err)
	}
}

// leave gives all leases back, and the means to have one.
func (s *Store) leave() error {
	var err error
	if name := s.holder.known(); name != "" {
		ctx := context.Background() // a store is closed when its context has ended
		err = s.update(ctx, "giving sessions back", func(tx *sql.Tx) error { return free(ctx, tx, name) })
	}
	return errors.Join(err, s.holder.close()) // without the file they are free in any case
}

// free gives back what a store has leased that cannot do so itself: what the turns of
// these sessions have come to is not known.
func free(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, "UPDATE sessions SET lease_holder = '', torn = 1 WHERE lease_holder = ? AND lease_holder <> ''", name)
	return err
}

// mustBeFree fails with store.ErrBusy when a living store has leased the session.
func (s *Store) mustBeFree(ctx context.Context, tx *sql.Tx, row int64) error {
	name, err := leaseOf(ctx, tx, row)
	if err != nil || name == "" {
		return err
	}
	if _, held := s.leased.Load(row); !held && name == s.holder.known() {
		// It could not be given back, nor perhaps its turn be written.
		_, err := tx.ExecContext(ctx, "UPDATE sessions SET torn = 1 WHERE id = ?", row)
		return err
	}
	return s.freeGone(ctx, tx, name)
}

// mayWrite is mustBeFree, but for a lease of this store's own.
func (s *Store) mayWrite(ctx context.Context, tx *sql.Tx, row int64) error {
	name, err := leaseOf(ctx, tx, row)
	if err != nil || name == "" || name == s.holder.known() {
		return err
	}
	return s.freeGone(ctx, tx, name)
}

func leaseOf(ctx context.Context, tx *sql.Tx, row int64) (name string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT lease_holder FROM sessions WHERE id = ?", row).Scan(&name)
	return name, err
}

// freeGone frees what a store has leased that is no more; store.ErrBusy for one that
// is alive.
func (s *Store) freeGone(ctx context.Context, tx *sql.Tx, name string) error {
	if name == s.holder.known() {
		return store.ErrBusy
	}
	gone, err := s.holder.gone(name)
	if err != nil {
		return err
	}
	if !gone {
		return store.ErrBusy
	}
	return free(ctx, tx, name)
}

// freeAllGone frees what any store has leased that is no more.
func (s *Store) freeAllGone(ctx context.Context, tx *sql.Tx) error {
	names, err := leases(ctx, tx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.freeGone(ctx, tx, name); err != nil && !errors.Is(err, store.ErrBusy) {
			return err
		}
	}
	return nil
}

func leases(ctx context.Context, tx *sql.Tx) (names []string, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT DISTINCT lease_holder FROM sessions WHERE lease_holder <> ''")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

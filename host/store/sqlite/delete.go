package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

// deleteBatch is how many sessions go in one transaction, so that others can write
// between.
const deleteBatch = 100

// DeleteSession removes the session with exactly this id and its transcript, and
// returns what it was. It fails with store.ErrNotFound, and with store.ErrBusy while
// it is leased.
func (s *Store) DeleteSession(ctx context.Context, owner, id string) (x *store.Session, err error) {
	err = s.update(ctx, "deleting session "+id, func(tx *sql.Tx) error {
		row, err := rowOf(ctx, tx, owner, id)
		if err != nil {
			return err
		}
		if err := s.mustBeFree(ctx, tx, row); err != nil {
			return err
		}
		if x, err = readSession(ctx, tx, owner, id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", row)
		return err
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// CleanSessions deletes the owner's sessions that c chooses, the oldest first; leased
// ones stay. When it fails, those that it has deleted by then are returned too.
func (s *Store) CleanSessions(ctx context.Context, owner string, c store.Cleaning) ([]store.Deleted, error) {
	chosen := condition{sql: "owner = ?", args: []any{owner}}
	if !c.Before.IsZero() {
		chosen = chosen.and("updated < ?", c.Before.UnixNano())
	}
	if c.Backend != "" {
		chosen = chosen.and("backend = ?", c.Backend)
	}
	if c.Status != "" {
		chosen = chosen.and("status = ?", c.Status)
	}
	return s.purge(ctx, "cleaning sessions", chosen)
}

// PruneSessions deletes what is beyond the policy, of all owners, as CleanSessions
// does, and the drafts that processes have left.
func (s *Store) PruneSessions(ctx context.Context, p store.Policy) (all []store.Deleted, err error) {
	if all, err = s.purge(ctx, "removing drafts", condition{sql: "draft = 1"}); err != nil {
		return all, err
	}
	if p.Age > 0 {
		chosen := condition{sql: "updated < ?", args: []any{time.Now().Add(-p.Age).UnixNano()}}
		old, err := s.purge(ctx, "forgetting old sessions", chosen)
		if all = append(all, old...); err != nil {
			return all, err
		}
	}
	if p.Count > 0 {
		newest := "updated < (SELECT updated FROM sessions ORDER BY updated DESC LIMIT 1 OFFSET ?)"
		more, err := s.purge(ctx, "forgetting sessions", condition{sql: newest, args: []any{p.Count - 1}})
		return append(all, more...), err
	}
	return all, nil
}

// purge deletes in batches until there is nothing left to delete.
func (s *Store) purge(ctx context.Context, what string, chosen condition) (all []store.Deleted, err error) {
	chosen = chosen.and("lease_holder = ''")
	statement := "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE " + chosen.sql +
		" ORDER BY updated LIMIT ?) RETURNING owner, name, backend, token"
	for {
		var batch []store.Deleted
		err := s.update(ctx, what, func(tx *sql.Tx) error {
			if err := s.freeAllGone(ctx, tx); err != nil {
				return err
			}
			batch, err = remove(ctx, tx, statement, append(chosen.args, deleteBatch)...)
			return err
		})
		if err != nil {
			return all, err
		}
		all = append(all, batch...)
		if len(batch) < deleteBatch {
			return all, nil
		}
	}
}

func remove(ctx context.Context, tx *sql.Tx, statement string, args ...any) (gone []store.Deleted, err error) {
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d store.Deleted
		if err := rows.Scan(&d.Owner, &d.ID, &d.Backend, &d.Token); err != nil {
			return nil, err
		}
		gone = append(gone, d)
	}
	return gone, rows.Err()
}

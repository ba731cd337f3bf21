package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

// columns of sessions, in the order of scan.
const columns = `s.owner, s.name, s.parent, s.backend, s.model, s.mode, s.workdir, s.system, s.title, s.status, s.tags, s.metadata, s.token, s.torn,
	s.created, s.updated, s.turns, s.input_tokens, s.output_tokens, s.cached_tokens, s.reasoning_tokens`

// CreateSession makes a session, with first as its first turn unless that is nil, and
// sets what the store sets in x. It fails with store.ErrExists.
func (s *Store) CreateSession(ctx context.Context, x *store.Session, first *store.Append) error {
	return s.update(ctx, "creating session "+x.ID, func(tx *sql.Tx) error {
		row, err := insertSession(ctx, tx, x, false)
		if err != nil {
			return err
		}
		if first != nil {
			if _, err := appendTo(ctx, tx, row, *first); err != nil {
				return err
			}
		}
		return reread(ctx, tx, row, x)
	})
}

// DraftSession makes a session that is leased, as by Lease, for the turn that is to be
// its first. Until then it is the last in lists. Released without one it is no more, and so it is when its process ends. It
// sets what the store sets in x, and fails with store.ErrExists, and with store.ErrBusy
// when that one is leased.
func (s *Store) DraftSession(ctx context.Context, x *store.Session) (release func(), err error) {
	return s.take(ctx, "beginning session "+x.ID, func(tx *sql.Tx) (int64, error) {
		if err := s.removeDraft(ctx, tx, x.Owner, x.ID); err != nil {
			return 0, err
		}
		row, err := insertSession(ctx, tx, x, true)
		if err != nil {
			return 0, err
		}
		return row, reread(ctx, tx, row, x)
	})
}

// removeDraft makes room where a process has left a draft. It fails with store.ErrBusy
// when the session that is there is leased.
func (s *Store) removeDraft(ctx context.Context, tx *sql.Tx, owner, id string) error {
	row, err := rowOf(ctx, tx, owner, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.mustBeFree(ctx, tx, row); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ? AND draft = 1", row)
	return err
}

// insertSession adds a session. A draft is not to come before any other in a list.
func insertSession(ctx context.Context, tx *sql.Tx, x *store.Session, draft bool) (row int64, err error) {
	tags := tidy(x.Tags)
	tagText, err := json.Marshal(tags)
	if err != nil {
		return 0, err
	}
	metadata, err := json.Marshal(x.Metadata)
	if err != nil {
		return 0, err
	}
	created := toNanos(x.Created)
	updated := created
	if draft {
		updated = 0
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO sessions
		(owner, name, parent, backend, model, mode, workdir, system, title, status, tags, metadata, token, created, updated, draft)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		x.Owner, x.ID, x.ParentID, x.Backend, x.Model, x.Mode, x.WorkingDir, x.System, x.Title, x.Status,
		string(tagText), string(metadata), orNull(x.Token), created, updated, draft)
	if isTaken(err) {
		return 0, store.ErrExists
	}
	if err != nil {
		return 0, err
	}
	if row, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	if err := putTags(ctx, tx, row, tags); err != nil {
		return 0, err
	}
	return row, indexTitle(ctx, tx, row, x.Title)
}

// reread makes x what the file holds.
func reread(ctx context.Context, tx *sql.Tx, row int64, x *store.Session) error {
	kept, err := scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM sessions AS s WHERE s.id = ?", row))
	if err != nil {
		return err
	}
	*x = *kept
	return nil
}

// Session returns one session. It fails with store.ErrNotFound.
func (s *Store) Session(ctx context.Context, owner, id string) (x *store.Session, err error) {
	err = s.view(ctx, "reading session "+id, func(tx *sql.Tx) error {
		x, err = readSession(ctx, tx, owner, id)
		return err
	})
	return x, err
}

func readSession(ctx context.Context, tx *sql.Tx, owner, id string) (*store.Session, error) {
	x, err := scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM sessions AS s WHERE s.owner = ? AND s.name = ?", owner, id))
	return x, found(err)
}

// FindSession returns the session with this id, or else the only one whose id begins
// with it. It fails with store.ErrNotFound and store.ErrAmbiguous.
func (s *Store) FindSession(ctx context.Context, owner, prefix string) (x *store.Session, err error) {
	err = s.view(ctx, "finding session "+prefix, func(tx *sql.Tx) error {
		x, err = findSession(ctx, tx, owner, prefix)
		return err
	})
	return x, err
}

func findSession(ctx context.Context, tx *sql.Tx, owner, prefix string) (*store.Session, error) {
	if prefix == "" {
		return nil, store.ErrNotFound
	}
	// The exact one sorts before all that it begins. No character is after the last.
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+` FROM sessions AS s
		WHERE s.owner = ? AND s.name >= ? AND s.name < ? ORDER BY s.name LIMIT 2`, owner, prefix, prefix+"\U0010FFFF")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	if !rows.Next() {
		return nil, errors.Join(rows.Err(), store.ErrNotFound)
	}
	x, err := scan(rows)
	if err != nil {
		return nil, err
	}
	if x.ID != prefix && rows.Next() {
		return nil, store.ErrAmbiguous
	}
	return x, rows.Err()
}

// CountSessions counts those of all owners, however many there are in the same time.
func (s *Store) CountSessions(ctx context.Context) (n int, err error) {
	err = s.view(ctx, "counting sessions", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT sessions FROM session_sums").Scan(&n)
	})
	return n, err
}

// tidy sorts the tags and leaves out empty ones, since that is the tag of all
// sessions.
func tidy(tags []string) []string {
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool { return tag == "" })
	if len(tags) == 0 {
		return nil
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

func putTags(ctx context.Context, tx *sql.Tx, row int64, tags []string) error {
	for _, tag := range tags {
		_, err := tx.ExecContext(ctx, `INSERT INTO session_tags (owner, tag, updated, session, backend, status, workdir)
			SELECT owner, ?, updated, id, backend, status, workdir FROM sessions WHERE id = ?`, tag, row)
		if err != nil {
			return err
		}
	}
	return nil
}

// rowOf finds the row of the session with exactly this id.
func rowOf(ctx context.Context, tx *sql.Tx, owner, id string) (row int64, err error) {
	err = tx.QueryRowContext(ctx, "SELECT id FROM sessions WHERE owner = ? AND name = ?", owner, id).Scan(&row)
	return row, found(err)
}

// scan reads the columns of one row.
func scan(row interface{ Scan(dest ...any) error }) (*store.Session, error) {
	x := &store.Session{}
	var tags, metadata string
	var created, updated int64
	err := row.Scan(&x.Owner, &x.ID, &x.ParentID, &x.Backend, &x.Model, &x.Mode, &x.WorkingDir, &x.System, &x.Title, &x.Status, &tags, &metadata, &x.Token, &x.Torn,
		&created, &updated, &x.Turns, &x.Usage.Input, &x.Usage.Output, &x.Usage.Cached, &x.Usage.Reasoning)
	if err != nil {
		return nil, err
	}
	x.Created, x.Updated = fromNanos(created), fromNanos(max(created, updated))
	if err := json.Unmarshal([]byte(tags), &x.Tags); err != nil {
		return nil, fmt.Errorf("the tags of session %s: %w", x.ID, err)
	}
	if err := json.Unmarshal([]byte(metadata), &x.Metadata); err != nil {
		return nil, fmt.Errorf("the metadata of session %s: %w", x.ID, err)
	}
	return x, nil
}

// found turns the absence of a row into the store's own error.
func found(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// orNull keeps no bytes as NULL.
func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// toNanos is now for the zero time.
func toNanos(t time.Time) int64 {
	if t.IsZero() {
		t = time.Now()
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time { return time.Unix(0, n).UTC() }

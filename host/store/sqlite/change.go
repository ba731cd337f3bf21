package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/clinvk/clinvk/host/store"
)

// ChangeSession changes what c says. It fails with store.ErrNotFound, and with
// store.ErrBusy when c has a Token and another store has leased the session.
func (s *Store) ChangeSession(ctx context.Context, owner, id string, c store.Change) error {
	return s.update(ctx, "changing session "+id, func(tx *sql.Tx) error {
		row, err := rowOf(ctx, tx, owner, id)
		if err != nil {
			return err
		}
		if c.Token != nil {
			if err := s.mayWrite(ctx, tx, row); err != nil {
				return err
			}
		}
		return change(ctx, tx, row, c)
	})
}

func change(ctx context.Context, tx *sql.Tx, row int64, c store.Change) error {
	tags, err := text(c.Tags, tidy)
	if err != nil {
		return err
	}
	metadata, err := text(c.Metadata, func(m map[string]string) map[string]string { return m })
	if err != nil {
		return err
	}
	var token []byte
	if c.Token != nil {
		token = *c.Token
	}
	var title, dir, tagged string
	if err := tx.QueryRowContext(ctx, "SELECT title, workdir, tags FROM sessions WHERE id = ?", row).Scan(&title, &dir, &tagged); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE sessions SET title = coalesce(?, title), status = coalesce(?, status), model = coalesce(?, model), mode = coalesce(?, mode),
		workdir = coalesce(?, workdir), system = coalesce(?, system), tags = coalesce(?, tags), metadata = coalesce(?, metadata),
		token = CASE WHEN ? THEN ? ELSE token END, torn = CASE WHEN ? THEN 0 ELSE torn END WHERE id = ?`,
		c.Title, c.Status, c.Model, c.Mode, c.WorkingDir, c.System, tags, metadata, c.Token != nil, orNull(token), c.Token != nil, row)
	if err != nil {
		return err
	}
	// To index a long session takes seconds, and each turn says again what stays.
	if differs(tags, tagged) {
		if _, err := tx.ExecContext(ctx, "DELETE FROM session_tags WHERE session = ? AND tag <> ''", row); err != nil {
			return err
		}
		if err := putTags(ctx, tx, row, tidy(*c.Tags)); err != nil {
			return err
		}
	}
	if differs(tags, tagged) || differs(c.WorkingDir, dir) {
		return indexAgain(ctx, tx, row)
	}
	if differs(c.Title, title) {
		return indexTitle(ctx, tx, row, *c.Title)
	}
	return nil
}

// differs tells whether value is one, and another than old.
func differs(value *string, old string) bool { return value != nil && *value != old }

// text is JSON of what value points to, nil for nil.
func text[T any](value *T, tidy func(T) T) (*string, error) {
	if value == nil {
		return nil, nil //nolint:nilnil // nothing is a value here
	}
	b, err := json.Marshal(tidy(*value))
	return new(string(b)), err
}

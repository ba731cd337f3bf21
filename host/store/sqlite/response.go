package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

const responseColumns = `id, owner, previous_id, model, created, completed, status, lease, background,
	input, output, usage, error, incomplete, settings`

var errTaken = errors.New("the id is taken")

// pruneEvery is after how many saved responses the old ones are looked for.
const pruneEvery = 64

// SaveResponse adds a response, or replaces its owner's of the same id.
func (s *Store) SaveResponse(ctx context.Context, r *store.Response) error {
	err := s.update(ctx, "saving response "+r.ID, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO responses (`+responseColumns+`)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
			ON CONFLICT (id) DO UPDATE SET completed = excluded.completed, status = excluded.status, lease = excluded.lease,
				output = excluded.output, usage = excluded.usage, error = excluded.error, incomplete = excluded.incomplete
			WHERE owner = excluded.owner`,
			r.ID, r.Owner, r.Previous, r.Model, seconds(r.Created), seconds(r.Completed), r.Status, millis(r.Lease), r.Background,
			[]byte(r.Input), []byte(r.Output), []byte(r.Usage), []byte(r.Error), []byte(r.Incomplete), []byte(r.Settings))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errTaken, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.saves.Add(1)%pruneEvery == 0 {
		if err := s.prune(ctx); err != nil { // the next one tries again
			s.config.Logger.Warn("old responses were not forgotten", "error", err)
		}
	}
	return nil
}

// EndResponse ends its owner's response, which somebody works on; store.ErrNotFound when
// nobody does: it is over already, or was deleted.
func (s *Store) EndResponse(ctx context.Context, r *store.Response) error {
	return s.update(ctx, "ending response "+r.ID, func(tx *sql.Tx) error {
		return changed(tx.ExecContext(ctx, `UPDATE responses SET completed = ?, status = ?, lease = 0, output = ?, usage = ?, error = ?, incomplete = ?
			WHERE id = ? AND owner = ? AND lease > 0`,
			seconds(r.Completed), r.Status, []byte(r.Output), []byte(r.Usage), []byte(r.Error), []byte(r.Incomplete), r.ID, r.Owner))
	})
}

// changed is store.ErrNotFound when a statement changed nothing.
func changed(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

// prune forgets responses that are too old or too many, or too large together; those under work stay.
func (s *Store) prune(ctx context.Context) error {
	now := time.Now()
	return s.update(ctx, "forgetting old responses", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM responses WHERE lease < ? AND (created < ? OR id IN
			(SELECT id FROM (SELECT id, row_number() OVER newest AS n, sum(length(input) + length(output) + length(settings)) OVER newest AS size
				FROM responses WINDOW newest AS (ORDER BY created DESC, id DESC)) WHERE n > ? OR size > ?))`,
			millis(now), seconds(now.Add(-s.config.MaxAge)), s.config.MaxCount, s.config.MaxBytes)
		return err
	})
}

// Response finds an owner's response; store.ErrNotFound.
func (s *Store) Response(ctx context.Context, owner, id string) (r *store.Response, err error) {
	err = s.view(ctx, "reading response "+id, func(tx *sql.Tx) error {
		r, err = scanResponse(tx.QueryRowContext(ctx, `SELECT `+responseColumns+` FROM responses WHERE id = ? AND owner = ?`, id, owner))
		return found(err)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// ResponseChain is an owner's response and all before it, the oldest first, without
// their Settings. store.ErrNotFound if one of them is gone; store.ErrTooMany or
// store.ErrTooLarge beyond the limit.
func (s *Store) ResponseChain(ctx context.Context, owner, id string, limit store.ChainLimit) (chain []*store.Response, err error) {
	err = s.view(ctx, "reading response "+id+" and those before it", func(tx *sql.Tx) error {
		chain, err = readChain(ctx, tx, owner, id, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return chain, nil
}

func readChain(ctx context.Context, tx *sql.Tx, owner, id string, limit store.ChainLimit) (chain []*store.Response, err error) {
	rows, err := tx.QueryContext(ctx, chainQuery, id, owner, owner, limit.Responses, limit.Bytes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var depth int
		var size int64
		r, err := scanResponse(rows, &depth, &size)
		switch {
		case err != nil:
			return nil, err
		case depth > limit.Responses:
			return nil, store.ErrTooMany
		case size > limit.Bytes:
			return nil, store.ErrTooLarge
		case len(chain) == 0 && r.Previous != "":
			return nil, store.ErrNotFound
		}
		chain = append(chain, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(chain) == 0 {
		return nil, store.ErrNotFound
	}
	return chain, nil
}

// chainQuery goes one step beyond its limit at most, so that it is known to be passed.
const chainQuery = `WITH RECURSIVE chain (link, before, depth, size) AS (
		SELECT id, previous_id, 1, length(input) + length(output) FROM responses WHERE id = ? AND owner = ?
		UNION ALL
		SELECT r.id, r.previous_id, depth + 1, size + length(r.input) + length(r.output)
		FROM responses r JOIN chain ON r.id = before WHERE r.owner = ? AND depth <= ? AND size <= ?)
	SELECT id, owner, previous_id, model, created, completed, status, lease, background,
		input, output, usage, error, incomplete, NULL, depth, size
	FROM chain JOIN responses ON id = link ORDER BY depth DESC`

// DeleteResponse forgets an owner's response; store.ErrNotFound.
func (s *Store) DeleteResponse(ctx context.Context, owner, id string) error {
	return s.update(ctx, "deleting response "+id, func(tx *sql.Tx) error {
		return changed(tx.ExecContext(ctx, `DELETE FROM responses WHERE id = ? AND owner = ?`, id, owner))
	})
}

// RenewResponse vouches for a response until lease; store.ErrNotFound when nobody works
// on it, as for EndResponse.
func (s *Store) RenewResponse(ctx context.Context, id string, lease time.Time) error {
	return s.update(ctx, "renewing response "+id, func(tx *sql.Tx) error {
		return changed(tx.ExecContext(ctx, `UPDATE responses SET lease = ? WHERE id = ? AND lease > 0`, millis(lease), id))
	})
}

// scanResponse reads the columns of a response, and what follows them into more.
func scanResponse(row interface{ Scan(dest ...any) error }, more ...any) (*store.Response, error) {
	var r store.Response
	var created, completed, lease int64
	columns := []any{
		&r.ID, &r.Owner, &r.Previous, &r.Model, &created, &completed, &r.Status, &lease, &r.Background,
		(*[]byte)(&r.Input), (*[]byte)(&r.Output), (*[]byte)(&r.Usage), (*[]byte)(&r.Error), (*[]byte)(&r.Incomplete), (*[]byte)(&r.Settings),
	}
	err := row.Scan(append(columns, more...)...)
	r.Created, r.Completed = fromSeconds(created), fromSeconds(completed)
	if lease > 0 {
		r.Lease = time.UnixMilli(lease)
	}
	return &r, err
}

// seconds is Unix time; the zero time is 0.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromSeconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}

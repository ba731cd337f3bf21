package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

// AppendTurn adds a turn to the session, with what it changes, and returns its
// number. It fails with store.ErrNotFound, and with store.ErrBusy when another store
// has leased the session.
func (s *Store) AppendTurn(ctx context.Context, owner, id string, a store.Append) (seq int, err error) {
	var row int64
	var lease any
	err = s.update(ctx, "keeping a turn of session "+id, func(tx *sql.Tx) error {
		if row, err = rowOf(ctx, tx, owner, id); err != nil {
			return err
		}
		if err := s.mayWrite(ctx, tx, row); err != nil {
			return err
		}
		lease, _ = s.leased.Load(row)
		seq, err = appendTo(ctx, tx, row, a)
		return err
	})
	if err == nil && a.Release {
		s.leased.CompareAndDelete(row, lease) // somebody may have taken it since
	}
	return seq, err
}

func appendTo(ctx context.Context, tx *sql.Tx, row int64, a store.Append) (seq int, err error) {
	var updated int64
	if err := tx.QueryRowContext(ctx, "SELECT turns + 1, updated FROM sessions WHERE id = ?", row).Scan(&seq, &updated); err != nil {
		return 0, err
	}
	t, u := a.Turn, a.Turn.Usage
	// Two changes of one session never have the same time, whatever the clock does.
	updated = max(time.Now().UnixNano(), updated+1)
	_, err = tx.ExecContext(ctx, `UPDATE sessions SET turns = ?1, updated = ?2, draft = 0, lease_holder = CASE WHEN ?10 THEN '' ELSE lease_holder END,
		token = CASE WHEN ?3 IN ('', backend) THEN token END, torn = CASE WHEN ?3 IN ('', backend) THEN torn ELSE 0 END,
		backend = coalesce(nullif(?3, ''), backend), model = CASE ?3 WHEN '' THEN model ELSE ?4 END,
		input_tokens = input_tokens + ?5, output_tokens = output_tokens + ?6,
		cached_tokens = cached_tokens + ?7, reasoning_tokens = reasoning_tokens + ?8 WHERE id = ?9`,
		seq, updated, t.Backend, t.Model, u.Input, u.Output, u.Cached, u.Reasoning, row, a.Release)
	if err != nil {
		return 0, err
	}
	if a.Change != (store.Change{}) {
		if err := change(ctx, tx, row, a.Change); err != nil {
			return 0, err
		}
	}
	words, err := index(ctx, tx, row, plain(a.Text))
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO session_turns (session, seq, user, assistant, input_tokens, output_tokens, cached_tokens,
		reasoning_tokens, backend, model, finish_reason, created, text, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row, seq, []byte(t.User), []byte(t.Assistant), u.Input, u.Output, u.Cached, u.Reasoning,
		t.Backend, t.Model, t.FinishReason, toNanos(t.Created), plain(a.Text), words)
	return seq, err
}

// Turns returns the transcript of one session, oldest first. It fails with
// store.ErrNotFound.
func (s *Store) Turns(ctx context.Context, owner, id string) (turns []store.SessionTurn, err error) {
	err = s.view(ctx, "reading the turns of session "+id, func(tx *sql.Tx) error {
		row, err := rowOf(ctx, tx, owner, id)
		if err != nil {
			return err
		}
		turns, err = readTurns(ctx, tx, row)
		return err
	})
	return turns, err
}

func readTurns(ctx context.Context, tx *sql.Tx, row int64) (turns []store.SessionTurn, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT seq, user, assistant, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
		backend, model, finish_reason, created FROM session_turns WHERE session = ? ORDER BY seq`, row)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var t store.SessionTurn
		var created int64
		if err := rows.Scan(&t.Seq, (*[]byte)(&t.User), (*[]byte)(&t.Assistant), &t.Usage.Input, &t.Usage.Output, &t.Usage.Cached,
			&t.Usage.Reasoning, &t.Backend, &t.Model, &t.FinishReason, &created); err != nil {
			return nil, err
		}
		t.Created = fromNanos(created)
		turns = append(turns, t)
	}
	return turns, rows.Err()
}

// ForkSession makes the session to with the turns, and their usage, that the session
// from has now. It is a draft, as one of DraftSession. to needs ID; what it leaves empty
// is taken from the original. The token never is, because two conversations must not go
// on under one, and the model not with another backend. It sets what the store sets in
// to, and fails with store.ErrNotFound and store.ErrExists.
//
// token is what the original had then; nil while it is leased or torn, since the
// backend's session may hold more then than the turns that were copied.
func (s *Store) ForkSession(ctx context.Context, owner, from string, to *store.Session) (token []byte, release func(), err error) {
	release, err = s.take(ctx, "forking session "+from, func(tx *sql.Tx) (int64, error) {
		original, err := rowOf(ctx, tx, owner, from)
		if err != nil {
			return 0, err
		}
		busy := s.mustBeFree(ctx, tx, original)
		if busy != nil && !errors.Is(busy, store.ErrBusy) {
			return 0, busy
		}
		x, err := readSession(ctx, tx, owner, from)
		if err != nil {
			return 0, err
		}
		if busy == nil && !x.Torn {
			token = x.Token
		}
		copied := *to
		copied.Owner, copied.ParentID = owner, from
		inherit(&copied, x)
		row, err := insertSession(ctx, tx, &copied, true)
		if err != nil {
			return 0, err
		}
		if err := copyTurns(ctx, tx, original, row); err != nil {
			return 0, err
		}
		return row, reread(ctx, tx, row, to)
	})
	if err != nil {
		return nil, nil, err
	}
	return token, release, nil
}

func inherit(to, from *store.Session) {
	if to.Backend == "" || to.Backend == from.Backend {
		to.Model = cmp.Or(to.Model, from.Model)
	}
	to.Backend = cmp.Or(to.Backend, from.Backend)
	to.Mode = cmp.Or(to.Mode, from.Mode)
	to.WorkingDir = cmp.Or(to.WorkingDir, from.WorkingDir)
	to.System = cmp.Or(to.System, from.System)
	to.Title = cmp.Or(to.Title, from.Title)
	to.Status = cmp.Or(to.Status, from.Status)
	if to.Tags == nil {
		to.Tags = from.Tags
	}
	if to.Metadata == nil {
		to.Metadata = from.Metadata
	}
}

// copyTurns copies the transcript and lets a search find the copy too.
func copyTurns(ctx context.Context, tx *sql.Tx, from, to int64) error {
	for _, statement := range []string{
		`INSERT INTO session_turns SELECT ?2, seq, user, assistant, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
			backend, model, finish_reason, created, text,
			CASE words WHEN 0 THEN 0 ELSE (SELECT texts FROM session_sums) + seq << 31 | ?2 END
			FROM session_turns WHERE session = ?1 ORDER BY seq`,
		`UPDATE session_sums SET texts = texts + (SELECT turns FROM sessions WHERE id = ?1) WHERE ?2 > 0`,
		`UPDATE sessions SET (turns, input_tokens, output_tokens, cached_tokens, reasoning_tokens) =
			(SELECT turns, input_tokens, output_tokens, cached_tokens, reasoning_tokens FROM sessions WHERE id = ?1) WHERE id = ?2`,
	} {
		if _, err := tx.ExecContext(ctx, statement, from, to); err != nil {
			return err
		}
	}
	return indexTurns(ctx, tx, to)
}

package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"slices"

	"github.com/clinvk/clinvk/host/store"
)

// Sessions returns one page of the owner's sessions that the filter chooses.
func (s *Store) Sessions(ctx context.Context, owner string, f store.Filter) (page store.Page, err error) {
	words := match(owner, f)
	if f.Query != "" && words == "" {
		return page, nil
	}
	if f.Limit <= 0 {
		f.Limit = store.DefaultPage
	}
	f.Limit, f.Offset = min(f.Limit, store.MaxPage), max(f.Offset, 0)
	err = s.view(ctx, "listing sessions", func(tx *sql.Tx) error {
		if words == "" {
			page, err = list(ctx, tx, owner, f)
		} else {
			page, err = search(ctx, tx, owner, words, f)
		}
		return err
	})
	return page, err
}

// condition is a part of a query with what it compares to.
type condition struct {
	sql  string
	args []any
}

// and is the condition with one more.
func (c condition) and(sql string, args ...any) condition {
	return condition{sql: c.sql + " AND " + sql, args: append(slices.Clone(c.args), args...)}
}

// chosen is what the filter asks of a row called s that has the columns of
// session_tags, the tag aside.
func chosen(owner string, f store.Filter) condition {
	c := condition{sql: "s.owner = ?", args: []any{owner}}
	for _, part := range []struct{ sql, value string }{
		{"s.backend = ?", f.Backend}, {"s.status = ?", f.Status}, {"s.workdir = ?", f.WorkingDir},
	} {
		if part.value != "" {
			c = c.and(part.sql, part.value)
		}
	}
	return c
}

// list takes the number from the counts and then walks the index that fits, newest
// first, no further than there is something to find.
func list(ctx context.Context, tx *sql.Tx, owner string, f store.Filter) (page store.Page, err error) {
	c := chosen(owner, f)
	tagged := c.and("s.tag = ?", f.Tag)
	err = tx.QueryRowContext(ctx, "SELECT coalesce(sum(s.n), 0) FROM session_counts AS s WHERE "+tagged.sql, tagged.args...).Scan(&page.Total)
	if err != nil || page.Total <= f.Offset {
		return page, err
	}
	query := "SELECT s.id FROM sessions AS s WHERE " + c.sql + " ORDER BY s.updated DESC, s.id DESC"
	if f.Tag != "" {
		c = tagged
		query = "SELECT s.session FROM session_tags AS s WHERE " + c.sql + " ORDER BY s.updated DESC, s.session DESC"
	}
	args := append(slices.Clone(c.args), min(f.Limit, page.Total-f.Offset), f.Offset)
	rows, err := tx.QueryContext(ctx, query+" LIMIT ? OFFSET ?", args...)
	if err != nil {
		return page, err
	}
	ids, err := collect(rows)
	if err != nil {
		return page, err
	}
	page.Sessions, err = load(ctx, tx, ids)
	return page, err
}

func collect(rows *sql.Rows) (ids []int64, err error) {
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// hit is a session that a search has found.
type hit struct{ id, updated int64 }

// search walks the texts with the words, newest first, until there are enough
// sessions.
func search(ctx context.Context, tx *sql.Tx, owner, words string, f store.Filter) (page store.Page, err error) {
	hits, err := find(ctx, tx, owner, words, f)
	if err != nil {
		return page, err
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(b.updated, a.updated), cmp.Compare(b.id, a.id)) })
	page.Total = len(hits)
	hits = hits[min(f.Offset, len(hits)):]
	var ids []int64
	for _, h := range hits[:min(f.Limit, len(hits))] {
		ids = append(ids, h.id)
	}
	page.Sessions, err = load(ctx, tx, ids)
	return page, err
}

func find(ctx context.Context, tx *sql.Tx, owner, words string, f store.Filter) (hits []hit, err error) {
	c := chosen(owner, f)
	// CROSS keeps the order of the tables, so that the first found are the newest.
	//nolint:gosec // made of constants
	query := `SELECT s.id, s.updated FROM session_words CROSS JOIN sessions AS s ON s.id = session_words.rowid & 0x7fffffff
		WHERE session_words MATCH ? AND ` + c.sql + ` ORDER BY session_words.rowid DESC`
	rows, err := tx.QueryContext(ctx, query, append([]any{words}, c.args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	seen := make(map[int64]bool)
	for len(hits) < store.MaxFound && rows.Next() {
		var h hit
		if err := rows.Scan(&h.id, &h.updated); err != nil {
			return nil, err
		}
		if !seen[h.id] {
			seen[h.id] = true
			hits = append(hits, h)
		}
	}
	return hits, rows.Err()
}

// load reads sessions in this order.
func load(ctx context.Context, tx *sql.Tx, ids []int64) (sessions []*store.Session, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	text, err := json.Marshal(ids)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM json_each(?) AS j CROSS JOIN sessions AS s ON s.id = j.value", string(text))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		x, err := scan(rows)
		if err != nil {
			return nil, err
		}
		sessions = append(sessions, x)
	}
	return sessions, rows.Err()
}

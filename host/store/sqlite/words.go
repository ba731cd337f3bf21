package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/clinvk/clinvk/host/store"
)

// mark begins the words that stand for what a session is filtered by. It is one of
// those characters that mean nothing to anybody, and is taken out of all other text.
const mark = "\ue000"

// key is the word for an owner ("o"), a directory ("d") or a tag ("t"). It is a hash, since
// the index knows neither case nor punctuation, and long enough that nobody finds
// two of the same.
func key(kind, value string) string {
	sum := sha256.Sum256([]byte(value))
	return mark + kind + hex.EncodeToString(sum[:16])
}

// keys are the words for the session that follow each of its texts.
func keys(ctx context.Context, tx *sql.Tx, row int64) (string, error) {
	var owner, dir, list string
	if err := tx.QueryRowContext(ctx, "SELECT owner, workdir, tags FROM sessions WHERE id = ?", row).Scan(&owner, &dir, &list); err != nil {
		return "", err
	}
	var tags []string
	if err := json.Unmarshal([]byte(list), &tags); err != nil {
		return "", fmt.Errorf("the tags: %w", err)
	}
	text := " " + key("o", owner) + " " + key("d", dir)
	for _, tag := range tags {
		text += " " + key("t", tag)
	}
	return text, nil
}

// index lets a search find the session by these words, and returns their row.
func index(ctx context.Context, tx *sql.Tx, row int64, text string) (words int64, err error) {
	if text == "" {
		return 0, nil
	}
	k, err := keys(ctx, tx, row)
	if err != nil {
		return 0, err
	}
	var n int64
	if err := tx.QueryRowContext(ctx, "UPDATE session_sums SET texts = texts + 1 RETURNING texts").Scan(&n); err != nil {
		return 0, err
	}
	words = n<<31 | row
	_, err = tx.ExecContext(ctx, "INSERT INTO session_words (rowid, text) VALUES (?, ?)", words, text+k)
	return words, err
}

func indexTitle(ctx context.Context, tx *sql.Tx, row int64, title string) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM session_words WHERE rowid = (SELECT title_words FROM sessions WHERE id = ?)", row); err != nil {
		return err
	}
	words, err := index(ctx, tx, row, plain(title))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE sessions SET title_words = ? WHERE id = ?", words, row)
	return err
}

// indexAgain gives all texts of the session the keys that it has now.
func indexAgain(ctx context.Context, tx *sql.Tx, row int64) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM session_words WHERE rowid IN
		(SELECT words FROM session_turns WHERE session = ?1 UNION ALL SELECT title_words FROM sessions WHERE id = ?1)`, row)
	if err != nil {
		return err
	}
	var title string
	if err := tx.QueryRowContext(ctx, "SELECT title FROM sessions WHERE id = ?", row).Scan(&title); err != nil {
		return err
	}
	if err := indexTitle(ctx, tx, row, title); err != nil {
		return err
	}
	return indexTurns(ctx, tx, row)
}

// indexTurns indexes turns that have a number but are not in the index.
func indexTurns(ctx context.Context, tx *sql.Tx, row int64) error {
	k, err := keys(ctx, tx, row)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO session_words (rowid, text) SELECT words, text || ? FROM session_turns WHERE session = ? AND words > 0 ORDER BY seq", k, row)
	return err
}

// plain is the part of a text that is indexed.
func plain(text string) string {
	text = text[:min(len(text), store.MaxText)]
	return strings.ReplaceAll(strings.ToValidUTF8(text, ""), mark, " ")
}

// match makes an expression of the full-text index from what a user typed and what
// the filter asks of the keys; empty: the user typed no word. Each word is quoted, so
// that nothing in it is an operator, and good as a beginning. What has several parts,
// as main_test.go, is found where they follow each other.
func match(owner string, f store.Filter) string {
	var terms []string
	words := strings.FieldsFunc(plain(f.Query), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	for _, w := range words {
		if strings.ContainsFunc(w, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			terms = append(terms, `"`+strings.ReplaceAll(w, `"`, `""`)+`"*`)
		}
	}
	if terms == nil {
		return ""
	}
	terms = append(terms, `"`+key("o", owner)+`"`)
	if f.WorkingDir != "" {
		terms = append(terms, `"`+key("d", f.WorkingDir)+`"`)
	}
	if f.Tag != "" {
		terms = append(terms, `"`+key("t", f.Tag)+`"`)
	}
	return strings.Join(terms, " ")
}

package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/gofrs/flock"
)

// Each file takes the schema one version further; its place in the order is the
// version. A file that was released never changes.
//
//go:embed migrations/*.sql
var scripts embed.FS

// migrate brings the file to the newest schema. One process does that at a time:
// to switch to the write-ahead log needs the file alone, and SQLite does not wait
// for that as it does for a write.
func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(scripts, "migrations/*.sql") // in order
	if err != nil {
		return err
	}
	var version int
	var journal string
	err = patiently(func() error {
		row := s.write.QueryRowContext(ctx, "SELECT user_version, journal_mode FROM pragma_user_version, pragma_journal_mode")
		return row.Scan(&version, &journal)
	})
	switch {
	case err != nil:
		return err
	case version > len(names):
		return &NewerError{Path: s.config.Path, Found: version, Known: len(names)}
	case version == len(names) && journal == "wal":
		return nil
	}
	guard := flock.New(s.config.Path+".guard", flock.SetPermissions(0o600))
	if _, err := guard.TryLockContext(ctx, busySlice/10); err != nil {
		return fmt.Errorf("waiting for another clinvk that migrates: %w", err)
	}
	defer guard.Close()
	if err := s.logAhead(ctx); err != nil {
		return err
	}
	for {
		done, err := s.step(ctx, names)
		if done || err != nil {
			return err
		}
	}
}

// logAhead switches to the write-ahead log, which stays with the file. Those who
// read the version meanwhile are in the way for a moment.
func (s *Store) logAhead(ctx context.Context) error {
	return patiently(func() error {
		_, err := s.write.ExecContext(ctx, "PRAGMA journal_mode = WAL")
		return err
	})
}

// step runs the next script and notes that in one transaction.
func (s *Store) step(ctx context.Context, names []string) (done bool, err error) {
	err = s.update(ctx, "migrating", func(tx *sql.Tx) error {
		var version int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
			return err
		}
		if done = version >= len(names); done {
			return nil
		}
		script, err := scripts.ReadFile(names[version])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(script)); err != nil {
			return fmt.Errorf("%s: %w", names[version], err)
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version+1)) // takes no parameters
		return err
	})
	return done, err
}

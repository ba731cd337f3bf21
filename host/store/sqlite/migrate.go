package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate applies, in one transaction, the migrations that the file does not have
// yet. They are numbered by their order; the file's user_version is how many it has.
func migrate(ctx context.Context, db *sql.DB) (err error) {
	steps, err := migrations.ReadDir("migrations")
	if err != nil {
		return fmt.Errorf("reading the migrations: %w", err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a migration: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading its version: %w", err)
	}
	if version > len(steps) {
		return fmt.Errorf("it is of version %d, made by a newer clinvk that knows more than version %d; update clinvk, or move the file away", version, len(steps))
	}
	for _, step := range steps[version:] {
		text, err := migrations.ReadFile("migrations/" + step.Name())
		if err != nil {
			return fmt.Errorf("reading %s: %w", step.Name(), err)
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("applying %s: %w", step.Name(), err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(steps))); err != nil {
		return fmt.Errorf("noting its version: %w", err)
	}
	return tx.Commit()
}

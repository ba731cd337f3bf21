package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/clinvk/clinvk/host/store"
)

// DamagedError says that the file is not what a store has written.
type DamagedError struct {
	Path string
	Err  error
}

// Error tells what is wrong and what to do.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("the database %[1]s is damaged (%[2]v); stop every clinvk, move it away together with %[1]s-wal and %[1]s-shm "+
		"and start again with an empty one; `sqlite3 FILE .recover` gets back what can be read", e.Path, e.Err)
}

// Unwrap returns Err.
func (e *DamagedError) Unwrap() error { return e.Err }

// NewerError says that the file was written by a clinvk that knows more.
type NewerError struct {
	Path         string
	Found, Known int // versions of the schema
}

// Error tells what is wrong and what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("the database %s was written by a newer clinvk (its schema is version %d, this clinvk knows %d); "+
		"install the newer clinvk again, or move the file away", e.Path, e.Found, e.Known)
}

// explain says what was being done, and what SQLite's own errors mean to a user.
func (s *Store) explain(what string, err error) error {
	var newer *NewerError
	switch code := codeOf(err); {
	case err == nil:
		return nil
	case errors.As(err, &newer):
		return err
	case code == sqlite3.SQLITE_CORRUPT, code == sqlite3.SQLITE_NOTADB:
		return &DamagedError{Path: s.config.Path, Err: err}
	case code == sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%s: another process writes to %s for too long; end it and try again: %w", what, s.config.Path, err)
	case code == sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: %w for %s; make some, or lower what is kept: %w", what, store.ErrFull, s.config.Path, err)
	case errors.Is(err, syscall.ENOSPC): // of a file beside it
		return fmt.Errorf("%s: %w: %w", what, store.ErrFull, err)
	case slices.Contains(unwritable, code), errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: %w: see to the permissions of %s and its directory, and to the disk: %w", what, store.ErrUnwritable, s.config.Path, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unwritable are the codes of a file or disk that does not let SQLite do its work.
var unwritable = []int{sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}

func isBusy(err error) bool { return codeOf(err) == sqlite3.SQLITE_BUSY }

func isTaken(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
}

// codeOf is SQLite's primary code, 0 for other errors.
func codeOf(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver, without cgo
)

// Retention of responses unless Config says otherwise: clients continue what is hours
// or days old, and OpenAI keeps 30 days.
const (
	DefaultMaxAge   = 30 * 24 * time.Hour
	DefaultMaxCount = 10_000
	DefaultMaxBytes = 2 << 30
)

// Config of a Store.
type Config struct {
	// Path of the file; required. It and its directory are made for the user alone.
	Path string
	// MaxAge, MaxCount and MaxBytes bound how long, how many and how large responses are
	// kept, the last for all together; 0: the defaults.
	MaxAge   time.Duration
	MaxCount int
	MaxBytes int64
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Store is a file of records. Its methods may be called concurrently, also by several
// processes on one file.
type Store struct {
	config Config
	db     *sql.DB
	saves  atomic.Int64
}

// busyTimeout is how long a writer waits for another process's, in milliseconds: a
// write takes some milliseconds, a migration rarely more than a second.
const busyTimeout = 10_000

// Open opens the file, makes it if it is not there, and brings its tables up to date.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.MaxAge <= 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.MaxCount <= 0 {
		c.MaxCount = DefaultMaxCount
	}
	if c.MaxBytes <= 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := prepare(c.Path); err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", c.Path, err)
	}
	db, err := sql.Open("sqlite", dsn(c.Path))
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", c.Path, err)
	}
	db.SetMaxOpenConns(4) // one writes at a time; more only read
	if err := migrate(ctx, db); err != nil {
		return nil, errors.Join(fmt.Errorf("opening the store %s: %w", c.Path, err), db.Close())
	}
	return &Store{config: c, db: db}, nil
}

// prepare makes the file before SQLite does, so that nobody else can ever read it.
// SQLite gives the files beside it the same mode.
func prepare(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making its directory: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

func dsn(path string) string {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout), "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(ON)",
	}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: q.Encode()}
	return u.String()
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

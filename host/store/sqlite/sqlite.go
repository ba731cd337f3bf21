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
	"strings"
	"sync"
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

// Waiting for another process that writes.
const (
	// busySlice is how long SQLite waits in one go, deaf to the context.
	busySlice = 100 * time.Millisecond
	// busyMost is how long a write waits in all; none takes a tenth of that.
	busyMost = 10 * time.Second
)

// readers bounds the connections that read; each has a cache of 2 MB.
const readers = 4

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
// processes on one file. What they have returned without an error survives the death
// of the process; a loss of power may cost the last moments, never the file.
type Store struct {
	config Config
	write  *sql.DB // one connection: SQLite has one writer, so the others queue here
	read   *sql.DB
	saves  atomic.Int64
	holder holder
	leased sync.Map // by the row of a session: the *byte of its lease
}

// Open opens the file, makes it if it is not there, and brings its tables up to date.
// Its error is a *DamagedError or a *NewerError when that is the reason.
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
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening the store %s: %w", c.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*Store, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, err
	}
	c.Path = path
	if err := prepare(path); err != nil {
		return nil, err
	}
	s := &Store{config: c, holder: holder{dir: path + ".holders"}}
	if s.write, err = connect(path, "_txlock=immediate", 1); err != nil {
		return nil, err
	}
	if s.read, err = connect(path, "_pragma=query_only(1)", readers); err != nil {
		return nil, errors.Join(err, s.write.Close())
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(s.explain("bringing it up to date", err), s.Close())
	}
	return s, nil
}

// prepare makes the file before SQLite does, so that nobody else can ever read it.
// SQLite gives the files beside it the same mode.
func prepare(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making its directory: %w; %s", err, useHome)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("making it, or writing to it: %w; %s", err, useHome)
	}
	return errors.Join(f.Chmod(0o600), f.Close())
}

// useHome says what to do about a directory that cannot be used.
const useHome = "make that writable, or name another directory with CLINVK_HOME"

func connect(path, option string, most int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dataSource(path)+"&"+option)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	return db, nil
}

// dataSource names the file as a URL, so that a ? or % in its name stays one.
func dataSource(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	u := url.URL{Scheme: "file", Path: path}
	return u.String() + fmt.Sprintf("?_pragma=busy_timeout(%d)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)"+
		"&_pragma=journal_size_limit(%d)", busySlice.Milliseconds(), 16<<20)
}

// Close gives back what the store has leased and closes the file, once the calls that
// are under way have ended.
func (s *Store) Close() error {
	return errors.Join(s.leave(), s.read.Close(), s.write.Close())
}

// update runs change in a transaction that no other one writes beside.
func (s *Store) update(ctx context.Context, what string, change func(*sql.Tx) error) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return s.explain(what, err)
	}
	if err := change(tx); err != nil {
		_ = tx.Rollback() // the error that led here says more
		return s.explain(what, err)
	}
	return s.explain(what, tx.Commit())
}

// begin waits for its turn to write.
func (s *Store) begin(ctx context.Context) (tx *sql.Tx, err error) {
	err = patiently(func() error {
		tx, err = s.write.BeginTx(ctx, nil)
		return err
	})
	return tx, err
}

// view runs look on one state of the file, whatever others write meanwhile. look runs
// again when another process is just getting the file back after a crash.
func (s *Store) view(ctx context.Context, what string, look func(*sql.Tx) error) error {
	err := patiently(func() error {
		tx, err := s.read.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // it has only read
		return look(tx)
	})
	return s.explain(what, err)
}

// patiently waits in slices for other processes, because SQLite does not see that a
// context ends while it waits.
func patiently(do func() error) error {
	until := time.Now().Add(busyMost)
	for {
		err := do()
		if !isBusy(err) || time.Now().After(until) {
			return err
		}
	}
}

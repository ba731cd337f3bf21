package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/store"
)

func TestSettings(t *testing.T) {
	s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db")})
	for name, db := range map[string]*sql.DB{"write": s.write, "read": s.read} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "1", "foreign_keys": "1", "busy_timeout": "100"} {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %s, %v", name, pragma, got, err)
			}
		}
	}
}

// TestOlderFile opens what a clinvk without sessions has left, in another journal mode
// too, as a tool that gets a file back leaves it.
func TestOlderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveResponse(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP TABLE session_tags", "DROP TABLE session_turns", "DROP TABLE sessions", "DROP TABLE session_sums", "DROP TABLE session_counts",
		"DROP TABLE session_words", "PRAGMA user_version = 1", "PRAGMA journal_mode = DELETE",
	} {
		if statement == "PRAGMA journal_mode = DELETE" { // it needs the file alone
			if err := s.read.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = opened(t, Config{Path: path})
	if _, err := s.Response(t.Context(), "", record(1).ID); err != nil {
		t.Error(err)
	}
	if err := s.CreateSession(t.Context(), &store.Session{ID: "a", Title: "word"}, nil); err != nil {
		t.Error(err)
	}
	var mode string
	if err := s.read.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("its journal is %s, %v", mode, err)
	}
}

func TestNewerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	s := opened(t, Config{Path: path})
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA user_version = 1000"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Path: path})
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Found != 1000 || !strings.Contains(err.Error(), "install the newer clinvk") {
		t.Errorf("a newer file: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func([]byte) []byte
	}{
		{"no database", func([]byte) []byte { return []byte("dear diary") }},
		{"no head", func(b []byte) []byte { return append(bytes.Repeat([]byte{7}, 100), b[100:]...) }},
		{"no schema", func(b []byte) []byte { return append(b[:100:100], bytes.Repeat([]byte{0xff}, len(b)-100)...) }},
		{"half", func(b []byte) []byte { return b[:4096*2] }},
		{"no pages", func(b []byte) []byte { return append(b[:4096:4096], make([]byte, len(b)-4096)...) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "clinvk.db")
			s, err := Open(t.Context(), Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, test.damage(text), 0o600); err != nil {
				t.Fatal(err)
			}
			err = use(t.Context(), path)
			var damaged *DamagedError
			if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("it opens with %v", err)
			}
		})
	}
}

// use opens the file and writes to it: SQLite sees some damage only then.
func use(ctx context.Context, path string) error {
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.CreateSession(ctx, &store.Session{ID: "a", Title: "word"}, nil); err != nil {
		return err
	}
	return s.SaveResponse(ctx, record(1))
}

func TestNoFile(t *testing.T) {
	if _, err := Open(t.Context(), Config{Path: t.TempDir()}); err == nil {
		t.Error("a directory opens")
	}
}

// TestBusy: who waits for a process that writes and does not end gives up with its
// context, and reads meanwhile.
func TestBusy(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "clinvk.db")}
	first, second := opened(t, c), opened(t, c)
	tx, err := first.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*busySlice)
	defer cancel()
	if err := second.SaveResponse(ctx, record(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := second.Response(t.Context(), "", record(1).ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("reading waits for the one who writes: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := second.SaveResponse(t.Context(), record(1)); err != nil {
		t.Error(err)
	}
}

// TestHolders: the file of a lease is there no longer than the store is open, and those
// of stores that are gone are removed by the next.
func TestHolders(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "clinvk.db")}
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.CreateSession(t.Context(), &store.Session{ID: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.holder.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a store that has leased nothing holds something: %v", err)
	}
	if err := os.MkdirAll(s.holder.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.holder.dir, "left")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Lease(t.Context(), "", "a"); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(s.holder.dir); err != nil || len(files) != 1 || files[0].Name() == "left" {
		t.Errorf("there are %v, %v", files, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(s.holder.dir); err != nil || len(files) != 0 {
		t.Errorf("afterwards there are %v, %v", files, err)
	}
	if _, err := s.Lease(t.Context(), "", "a"); err == nil {
		t.Error("a closed store leases")
	}
	s = opened(t, c)
	release, err := s.Lease(t.Context(), "", "a")
	if err != nil {
		t.Fatal(err)
	}
	release()
}

package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/store"
	"github.com/clinvk/clinvk/host/store/storetest"
)

func opened(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestResponses(t *testing.T) {
	storetest.TestResponses(t, func(t *testing.T) (a, b storetest.Responses) {
		path := filepath.Join(t.TempDir(), "home ? #%41", "clinvk.db")
		return opened(t, Config{Path: path}), opened(t, Config{Path: path})
	})
}

func TestSessions(t *testing.T) {
	storetest.TestSessions(t, func(t *testing.T) (storetest.Sessions, func(*testing.T) storetest.Sessions) {
		c := Config{Path: filepath.Join(t.TempDir(), "home ? #%41 ü", "clinvk.db")}
		return opened(t, c), func(t *testing.T) storetest.Sessions { return opened(t, c) }
	})
}

func TestMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := filepath.Join(t.TempDir(), "home")
	s := opened(t, Config{Path: filepath.Join(dir, "clinvk.db")})
	if err := s.SaveResponse(t.Context(), record(1)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info.Mode(), err)
	}
}

func record(i int) *store.Response {
	return &store.Response{
		ID: fmt.Sprintf("resp_%05d", i), Created: time.Now(), Status: "completed",
		Input: json.RawMessage(`[]`), Output: json.RawMessage(`[]`), Settings: json.RawMessage(`{}`),
	}
}

func TestRetention(t *testing.T) {
	s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db"), MaxCount: 10})
	old := record(0)
	old.Created = time.Now().Add(-2 * DefaultMaxAge)
	working := record(1)
	working.Created, working.Lease = old.Created, time.Now().Add(time.Hour)
	for _, r := range []*store.Response{old, working} {
		if err := s.SaveResponse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := 2; i < pruneEvery; i++ {
		if err := s.SaveResponse(t.Context(), record(i)); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := s.write.QueryRowContext(t.Context(), "SELECT count(*) FROM responses").Scan(&n); err != nil || n > 11 {
		t.Errorf("%d responses were kept, %v", n, err)
	}
	if _, err := s.Response(t.Context(), "", old.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an old one was kept: %v", err)
	}
	if _, err := s.Response(t.Context(), "", working.ID); err != nil {
		t.Errorf("one under work: %v", err)
	}
}

func TestRetentionOfBytes(t *testing.T) {
	s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db"), MaxBytes: 5 << 10})
	for i := range pruneEvery {
		r := record(i)
		r.Output = json.RawMessage(`["` + strings.Repeat("x", 1<<10-10) + `"]`)
		if err := s.SaveResponse(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	var n, newest int
	row := s.write.QueryRowContext(t.Context(), "SELECT count(*), count(CASE WHEN id = ? THEN 1 END) FROM responses", record(pruneEvery-1).ID)
	if err := row.Scan(&n, &newest); err != nil || n != 5 || newest != 1 {
		t.Errorf("%d responses were kept, of the newest %d, %v", n, newest, err)
	}
}

// TestFailedPrune: what was saved is saved.
func TestFailedPrune(t *testing.T) {
	s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db")})
	if _, err := s.write.ExecContext(t.Context(), "CREATE TRIGGER t BEFORE DELETE ON responses BEGIN SELECT RAISE(ABORT, 'no'); END"); err != nil {
		t.Fatal(err)
	}
	old := record(0)
	old.Created = time.Now().Add(-2 * DefaultMaxAge)
	for i := range pruneEvery {
		if err := s.SaveResponse(t.Context(), old); err != nil {
			t.Fatalf("save %d: %v", i, err)
		}
	}
	if s.prune(t.Context()) == nil {
		t.Error("the test does not make pruning fail")
	}
}

func TestManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	var wait sync.WaitGroup
	for h := range 3 { // they open the new file at the same time
		wait.Go(func() {
			s, err := Open(context.Background(), Config{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for i := range 20 {
				if err := s.SaveResponse(context.Background(), record(h*100+i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		return
	}
	s := opened(t, Config{Path: path})
	var n int
	if err := s.write.QueryRowContext(t.Context(), "SELECT count(*) FROM responses").Scan(&n); err != nil || n != 60 {
		t.Errorf("%d of 60 were kept, %v", n, err)
	}
}

func TestNewerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clinvk.db")
	s := opened(t, Config{Path: path})
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Path: path}); err == nil || !strings.Contains(err.Error(), "newer clinvk") {
		t.Errorf("got %v", err)
	}
}

package sqlite

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/clinvk/clinvk/host/store"
)

// TestReleaseThatFails has the file refuse that a session is given back, as a full disk
// does: it must not stay busy until the next start.
func TestReleaseThatFails(t *testing.T) {
	c := Config{Path: filepath.Join(t.TempDir(), "clinvk.db")}
	s, other := opened(t, c), opened(t, c)
	if err := s.CreateSession(t.Context(), &store.Session{ID: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	lease := func() (release func()) {
		t.Helper()
		release, err := s.Lease(t.Context(), "", "a")
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	run := func(statement string) {
		t.Helper()
		if _, err := s.write.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run("CREATE TRIGGER full BEFORE UPDATE OF lease_holder ON sessions WHEN NEW.lease_holder = '' BEGIN SELECT RAISE(ABORT, 'no room'); END")
	lease()()
	release := lease()
	if x, err := s.Session(t.Context(), "", "a"); err != nil || !x.Torn {
		t.Errorf("what became of its turn counts as known: %+v, %v", x, err)
	}
	busy := func(s *Store) {
		t.Helper()
		if _, err := s.Lease(t.Context(), "", "a"); !errors.Is(err, store.ErrBusy) {
			t.Errorf("leased twice: %v", err)
		}
	}
	busy(s)
	busy(other)
	run("DROP TRIGGER full")
	release()
	if _, err := other.Lease(t.Context(), "", "a"); err != nil {
		t.Errorf("it was given back: %v", err)
	}
}

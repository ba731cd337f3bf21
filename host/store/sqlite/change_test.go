package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/clinvk/clinvk/host/store"
)

// TestIndexedOnce counts the texts that were given to the search: a turn that says
// again what its session has must not index the whole session, which others wait for.
func TestIndexedOnce(t *testing.T) {
	s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db")})
	x := &store.Session{ID: "a", WorkingDir: "/d", Title: "elephant", Tags: []string{"x", "y"}}
	if err := s.CreateSession(t.Context(), x, nil); err != nil {
		t.Fatal(err)
	}
	dir, title, tags := "/d", "elephant", []string{"y", "x", "y"}
	same := store.Change{WorkingDir: &dir, Title: &title, Tags: &tags}
	for range 3 {
		if _, err := s.AppendTurn(t.Context(), "", "a", store.Append{Text: "giraffe", Change: same}); err != nil {
			t.Fatal(err)
		}
	}
	rows := func() (n int) {
		t.Helper()
		if err := s.read.QueryRowContext(t.Context(), "SELECT texts FROM session_sums").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 4 {
		t.Errorf("%d texts were indexed, want the title and three turns", n)
	}
	other := "/e"
	if err := s.ChangeSession(t.Context(), "", "a", store.Change{WorkingDir: &other}); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]int{"/d": 0, "/e": 1} {
		page, err := s.Sessions(t.Context(), "", store.Filter{Query: "giraffe", WorkingDir: dir})
		if err != nil || page.Total != want {
			t.Errorf("%s: %d found, %v", dir, page.Total, err)
		}
	}
}

package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/store"
)

// TestUnwritten: a file that cannot be written says so, in each way to write to it, and
// loses nothing.
func TestUnwritten(t *testing.T) {
	for _, test := range []struct {
		name, statement, undo string
		want                  error
	}{
		{"full", "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", store.ErrFull},
		{"read-only", "PRAGMA query_only = 1", "PRAGMA query_only = 0", store.ErrUnwritable},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := opened(t, Config{Path: filepath.Join(t.TempDir(), "clinvk.db")})
			first := store.Append{Text: "giraffe"}
			if err := s.CreateSession(t.Context(), &store.Session{ID: "a"}, &first); err != nil {
				t.Fatal(err)
			}
			run := func(statement string) {
				t.Helper()
				if _, err := s.write.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			run(test.statement)
			large := strings.Repeat("x", 1<<20)
			_, draft := s.DraftSession(t.Context(), &store.Session{ID: "b", System: large})
			_, turn := s.AppendTurn(t.Context(), "", "a", store.Append{Turn: store.SessionTurn{User: []byte(`"` + large + `"`)}})
			_, _, fork := s.ForkSession(t.Context(), "", "a", &store.Session{ID: "c", System: large})
			for what, err := range map[string]error{
				"draft": draft, "turn": turn, "fork": fork, "create": s.CreateSession(t.Context(), &store.Session{ID: "d", System: large}, nil),
				"change": s.ChangeSession(t.Context(), "", "a", store.Change{System: &large}),
			} {
				if !errors.Is(err, test.want) || !strings.Contains(err.Error(), s.config.Path) {
					t.Errorf("%s: %v", what, err)
				}
			}
			run(test.undo)
			if page, err := s.Sessions(t.Context(), "", store.Filter{}); err != nil || page.Total != 1 || page.Sessions[0].Turns != 1 {
				t.Errorf("there are %+v, %v", page.Sessions, err)
			}
			if _, err := s.AppendTurn(t.Context(), "", "a", first); err != nil {
				t.Errorf("it stays so: %v", err)
			}
			checkIntegrity(t, s)
		})
	}
}

// TestNoHome: where no file can be made the error says what to do.
func TestNoHome(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(file, "clinvk.db"), t.TempDir()} {
		if _, err := Open(t.Context(), Config{Path: path}); err == nil || !strings.Contains(err.Error(), "CLINVK_HOME") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

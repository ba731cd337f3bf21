package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/store"
)

// benchSessions is how many sessions the lists are measured with.
const benchSessions = 100_000

// filled makes a store whose sessions hold one turn each. Every text has the word
// "every", one in ten "tenth", one in a hundred "rare", and one alone "unique".
func filled(b *testing.B) *Store {
	b.Helper()
	s := opened(b, Config{Path: filepath.Join(b.TempDir(), "clinvk.db")})
	const batch = 5000
	for first := 0; first < benchSessions; first += batch {
		err := s.update(b.Context(), "filling", func(tx *sql.Tx) error {
			for i := first; i < first+batch; i++ {
				if err := fill(b.Context(), tx, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func name(i int) string { return fmt.Sprintf("ses_%08x", i*7919) }

func fill(ctx context.Context, tx *sql.Tx, i int) error {
	x := &store.Session{
		ID: name(i), Backend: []string{"claude", "codex", "gemini"}[i%3], Status: []string{"active", "done"}[i%2],
		WorkingDir: fmt.Sprintf("/home/user/project-%d", i%50), Title: fmt.Sprintf("Conversation %d on things", i),
		Tags: []string{"all", fmt.Sprintf("tag-%d", i%100)}, Metadata: map[string]string{"key": "value"}, Created: time.Unix(int64(i), 0),
	}
	if i < 3 {
		x.Status = "error" // the oldest, that all others are in the way to
	}
	row, err := insertSession(ctx, tx, x)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("every text has words such as word%d and other%d to be found by", i%5000, i%777)
	if i%10 == 0 {
		text += " tenth"
	}
	if i%100 == 0 {
		text += " rare"
	}
	if i == benchSessions/2 {
		text += " unique"
	}
	_, err = appendTo(ctx, tx, row, store.Append{Text: text, Turn: store.SessionTurn{User: fmt.Appendf(nil, "%q", text)}})
	return err
}

// BenchmarkSessions measures all on one filled store, since to fill one takes longer.
func BenchmarkSessions(b *testing.B) {
	began := time.Now()
	s := filled(b)
	b.Logf("%d sessions were made in %v", benchSessions, time.Since(began).Round(time.Second/10))
	b.Run("List", func(b *testing.B) { benchmarkLists(b, s, lists) })
	b.Run("Filter", func(b *testing.B) { benchmarkLists(b, s, filters) })
	b.Run("Search", func(b *testing.B) { benchmarkLists(b, s, searches) })
	b.Run("One", func(b *testing.B) { benchmarkOne(b, s) })
	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			again, err := Open(b.Context(), s.config)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := again.CountSessions(b.Context()); err != nil {
				b.Fatal(err)
			}
			if err := again.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type listBench struct {
	name string
	f    store.Filter
}

var (
	lists = []listBench{
		{"page", store.Filter{}},
		{"page at 50000", store.Filter{Offset: benchSessions / 2}},
	}
	filters = []listBench{
		{"backend", store.Filter{Backend: "codex"}},
		{"status", store.Filter{Status: "done"}},
		{"backend and status", store.Filter{Backend: "codex", Status: "done"}},
		{"backend and rare status", store.Filter{Backend: "codex", Status: "error"}},
		{"workdir", store.Filter{WorkingDir: "/home/user/project-7"}},
		{"workdir, nothing", store.Filter{WorkingDir: "/home/user/project-7", Status: "active"}},
		{"three", store.Filter{WorkingDir: "/home/user/project-7", Status: "done", Backend: "codex"}},
		{"tag", store.Filter{Tag: "tag-7"}},
		{"tag of all", store.Filter{Tag: "all"}},
		{"tag of all and backend", store.Filter{Tag: "all", Backend: "codex"}},
		{"tag of all and rare status", store.Filter{Tag: "all", Status: "error"}},
		{"tag and backend", store.Filter{Tag: "tag-7", Backend: "codex"}},
	}
	searches = []listBench{
		{"one", store.Filter{Query: "unique"}},
		{"rare", store.Filter{Query: "rare"}},
		{"tenth", store.Filter{Query: "tenth"}},
		{"every", store.Filter{Query: "every"}},
		{"two words", store.Filter{Query: "every tenth"}},
		{"phrase", store.Filter{Query: "such_as"}},
		{"beginning", store.Filter{Query: "wor"}},
		{"one letter", store.Filter{Query: "w"}},
		{"long word", store.Filter{Query: "conversation"}},
		{"none", store.Filter{Query: "nowhere"}},
		{"and backend", store.Filter{Query: "every", Backend: "codex"}},
		{"and status", store.Filter{Query: "every", Status: "done"}},
		{"and tag", store.Filter{Query: "tenth", Tag: "tag-0"}},
		{"and tag, nothing", store.Filter{Query: "tenth", Tag: "tag-7"}},
		{"and tag of all", store.Filter{Query: "every", Tag: "all"}},
		{"and workdir", store.Filter{Query: "every", WorkingDir: "/home/user/project-7"}},
		{"and all", store.Filter{Query: "every", Tag: "tag-7", WorkingDir: "/home/user/project-7", Backend: "codex", Status: "done"}},
	}
)

func benchmarkLists(b *testing.B, s *Store, benches []listBench) {
	for _, bench := range benches {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Sessions(b.Context(), "", bench.f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkOne(b *testing.B, s *Store) {
	for _, bench := range []struct {
		name string
		run  func() error
	}{
		{"count", func() error {
			_, err := s.CountSessions(b.Context())
			return err
		}},
		{"prefix", func() error {
			_, err := s.FindSession(b.Context(), "", name(1)[:12])
			return err
		}},
		{"append", func() error {
			_, err := s.AppendTurn(b.Context(), "", name(1), store.Append{Text: "every word"})
			return err
		}},
		{"lease and release", func() error {
			release, err := s.Lease(b.Context(), "", name(1))
			if err == nil {
				release()
			}
			return err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			for b.Loop() {
				if err := bench.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

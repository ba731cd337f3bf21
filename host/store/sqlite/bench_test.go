package sqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
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
	err := s.update(b.Context(), "filling", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(b.Context(), "CREATE TABLE fill (i INTEGER PRIMARY KEY, keys TEXT, dir TEXT, tag TEXT)"); err != nil {
			return err
		}
		for i := range fillKinds {
			dir, tag := fmt.Sprintf("/home/user/project-%d", i%50), fmt.Sprintf("tag-%d", i)
			keys := strings.Join([]string{"", key("", "o", ""), key("", "d", dir), key("", "t", "all"), key("", "t", tag)}, " ")
			if _, err := tx.ExecContext(b.Context(), "INSERT INTO fill VALUES (?, ?, ?, ?)", i, keys, dir, tag); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(b.Context(), fillScript)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// fillKinds is how many kinds of sessions there are, which follow each other.
const fillKinds = 100

// fillScript writes what CreateSession would, in a tenth of the time. The three oldest
// have a status of their own, that all others are in the way to.
var fillScript = fmt.Sprintf(`
INSERT INTO sessions (id, owner, name, backend, status, updated, workdir, parent, model, mode, created, turns, title, title_words, tags, metadata, system)
	WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d - 1)
	SELECT n.i + 1, '', printf('ses_%%08x', n.i * 7919),
		CASE n.i %% 3 WHEN 0 THEN 'claude' WHEN 1 THEN 'codex' ELSE 'gemini' END,
		CASE WHEN n.i < 3 THEN 'error' WHEN n.i %% 2 THEN 'done' ELSE 'active' END,
		n.i * 1000000000, k.dir, '', 'm', 'agent', n.i * 1000000000, 1, printf('Conversation %%d on things', n.i), (2 * n.i + 1 << 31) | n.i + 1,
		json_array('all', k.tag), '{"key":"value"}', 'Be brief.' FROM n JOIN fill AS k ON k.i = n.i %% %d;
INSERT INTO session_tags SELECT '', t.value, s.updated, s.id, s.backend, s.status, s.workdir FROM sessions AS s, json_each(s.tags) AS t ORDER BY t.value, s.id;
INSERT INTO session_turns
	SELECT id, 1, '"question"', '"answer"', 1, 1, 0, 0, backend, 'm', 'stop', created,
		printf('every text has words such as word%%d and other%%d to be found by', id %% 5000, id %% 777) || CASE WHEN id %% 10 THEN '' ELSE ' tenth' END ||
		CASE WHEN id %% 100 THEN '' ELSE ' rare' END || CASE id WHEN 50000 THEN ' unique' ELSE '' END, (2 * id << 31) | id FROM sessions;
INSERT INTO session_words (rowid, text)
	SELECT s.title_words, s.title || k.keys FROM sessions AS s JOIN fill AS k ON k.i = (s.id - 1) %% %[2]d
	UNION ALL SELECT t.words, t.text || k.keys FROM session_turns AS t JOIN fill AS k ON k.i = (t.session - 1) %% %[2]d ORDER BY 1;
UPDATE session_sums SET texts = 2 * %[1]d;
`, benchSessions, fillKinds)

func name(i int) string { return fmt.Sprintf("ses_%08x", i*7919) }

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
		{"and tag", store.Filter{Query: "tenth", Tag: "tag-9"}},
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

package sqlite

import (
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

var zooTime = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)

// zooResponse is in the files of all versions.
func zooResponse() *store.Response {
	return &store.Response{
		ID: "resp_1", Owner: "anna", Previous: "resp_0", Model: "opus", Created: zooTime.Truncate(time.Second), Completed: zooTime.Truncate(time.Second),
		Status: "completed", Background: true, Input: json.RawMessage(`["in"]`), Output: json.RawMessage(`["out"]`),
		Usage: json.RawMessage(`{"n":1}`), Settings: json.RawMessage(`{"s":2}`),
	}
}

// firstFile makes a file as the first version of the schema left it.
func firstFile(t *testing.T, path string) {
	t.Helper()
	script, err := scripts.ReadFile("migrations/0001_responses.sql")
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		t.Fatal(err)
	}
	r := zooResponse()
	for _, statement := range []struct {
		text string
		args []any
	}{
		{text: "PRAGMA journal_mode = WAL"}, {text: string(script)}, {text: "PRAGMA user_version = 1"},
		{
			"INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1, ?, ?, ?, NULL, NULL, ?)",
			[]any{r.ID, r.Owner, r.Previous, r.Model, r.Created.Unix(), r.Completed.Unix(), r.Status, []byte(r.Input), []byte(r.Output), []byte(r.Usage), []byte(r.Settings)},
		},
	} {
		if _, err := db.ExecContext(t.Context(), statement.text, statement.args...); err != nil {
			t.Fatalf("%s: %v", statement.text, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// secondFile unpacks one that the second version wrote: sessions with turns, tags and a
// branch.
func secondFile(t *testing.T, path string) {
	t.Helper()
	packed, err := os.Open(filepath.Join("testdata", "schema2.db.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestMigrate brings files of each earlier version up to date: all that was in them is
// there, is found, and can be gone on with.
func TestMigrate(t *testing.T) {
	for _, test := range []struct {
		name     string
		make     func(t *testing.T, path string)
		sessions bool
	}{
		{"from 1", firstFile, false},
		{"from 2", secondFile, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "clinvk.db")
			test.make(t, path)
			s := opened(t, Config{Path: path})
			got, err := s.Response(t.Context(), "anna", "resp_1")
			if diff := cmp.Diff(zooResponse(), got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if test.sessions {
				checkZoo(t, s)
			}
			goOnAfterMigration(t, s)
			checkIntegrity(t, s)
		})
	}
}

func checkZoo(t *testing.T, s *Store) {
	t.Helper()
	got, err := s.Session(t.Context(), "anna", "animals")
	if err != nil {
		t.Fatal(err)
	}
	want := &store.Session{
		ID: "animals", Owner: "anna", Backend: "claude", Model: "opus", Mode: "agent", WorkingDir: "/zoo", System: "Be brief.", Title: "Elephants",
		Status: "active", Tags: []string{"x", "y"}, Metadata: map[string]string{"k": "v"}, Token: []byte("token"), Created: zooTime, Updated: got.Updated,
		Turns: 2, Usage: store.Usage{Input: 2, Output: 4, Cached: 6, Reasoning: 8},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	turns, err := s.Turns(t.Context(), "anna", "branch")
	if err != nil || len(turns) != 2 || string(turns[1].User) != `"and the lion"` || !turns[1].Created.Equal(zooTime) {
		t.Errorf("the branch has %+v, %v", turns, err)
	}
	if other, err := s.Session(t.Context(), "", "animals"); err != nil || other.Title != "Other" {
		t.Errorf("another owner's is %+v, %v", other, err)
	}
	for _, f := range []struct {
		filter store.Filter
		want   int
	}{
		{store.Filter{}, 2}, {store.Filter{Query: "giraffe kenya"}, 2}, {store.Filter{Query: "eleph"}, 1}, {store.Filter{Query: "lion", Tag: "x", WorkingDir: "/zoo"}, 2},
		{store.Filter{Query: "other"}, 0}, {store.Filter{Tag: "y"}, 2}, {store.Filter{Backend: "claude", Status: "active"}, 2},
	} {
		page, err := s.Sessions(t.Context(), "anna", f.filter)
		if err != nil || page.Total != f.want || len(page.Sessions) != f.want {
			t.Errorf("%+v finds %d, %v", f.filter, page.Total, err)
		}
	}
	if gone, err := s.PruneSessions(t.Context(), store.Policy{}); err != nil || len(gone) != 0 {
		t.Errorf("pruning removes %+v, %v", gone, err)
	}
}

// goOnAfterMigration does what needs the newest schema.
func goOnAfterMigration(t *testing.T, s *Store) {
	t.Helper()
	release, err := s.DraftSession(t.Context(), &store.Session{ID: "new", Owner: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, err := s.AppendTurn(t.Context(), "anna", "new", store.Append{Text: "zebra"}); err != nil {
		t.Fatal(err)
	}
	if page, err := s.Sessions(t.Context(), "anna", store.Filter{Query: "zebra"}); err != nil || page.Total != 1 {
		t.Errorf("what is new is found %d times, %v", page.Total, err)
	}
}

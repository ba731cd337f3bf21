package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

// at is a time long ago, the higher the later.
func at(n int) time.Time { return time.Unix(int64(1000+n), 0).UTC() }

func testOrder(t *testing.T, s Sessions) {
	for i := range 5 {
		create(t, s, store.Session{ID: fmt.Sprint(i), Created: at(i), Tags: []string{"x"}, Title: "word"})
	}
	appendTurn(t, s, "1", question("text"))
	for _, f := range []store.Filter{{}, {Tag: "x"}, {Query: "word"}, {Query: "word", Tag: "x"}} {
		names, total := ids(t, s, "", f)
		if diff := cmp.Diff([]string{"1", "4", "3", "2", "0"}, names); diff != "" || total != 5 {
			t.Errorf("%+v: %d (-want +got):\n%s", f, total, diff)
		}
		f.Limit, f.Offset = 2, 1
		names, total = ids(t, s, "", f)
		if diff := cmp.Diff([]string{"4", "3"}, names); diff != "" || total != 5 {
			t.Errorf("a page of %+v: %d (-want +got):\n%s", f, total, diff)
		}
		f.Offset = 5
		if names, total = ids(t, s, "", f); len(names) != 0 || total != 5 {
			t.Errorf("past the end of %+v: %v, %d", f, names, total)
		}
	}
}

func testFilter(t *testing.T, s Sessions) {
	n := 0
	for _, backend := range []string{"claude", "codex"} {
		for _, status := range []string{"active", "done"} {
			for _, dir := range []string{"/a", "/b"} {
				create(t, s, store.Session{
					ID: fmt.Sprint(n), Backend: backend, Status: status, WorkingDir: dir, Created: at(n), Tags: []string{dir, "all"}, Title: "word " + status,
				})
				n++
			}
		}
	}
	for _, test := range []struct {
		f    store.Filter
		want []string
	}{
		{store.Filter{Backend: "claude"}, []string{"3", "2", "1", "0"}},
		{store.Filter{Status: "done"}, []string{"7", "6", "3", "2"}},
		{store.Filter{WorkingDir: "/b"}, []string{"7", "5", "3", "1"}},
		{store.Filter{Backend: "codex", Status: "active"}, []string{"5", "4"}},
		{store.Filter{Backend: "codex", Status: "active", WorkingDir: "/a"}, []string{"4"}},
		{store.Filter{Tag: "/a"}, []string{"6", "4", "2", "0"}},
		{store.Filter{Tag: "/a", Backend: "claude"}, []string{"2", "0"}},
		{store.Filter{Query: "done"}, []string{"7", "6", "3", "2"}},
		{store.Filter{Query: "done", Tag: "/b", Backend: "codex"}, []string{"7"}},
		{store.Filter{Query: "done", Status: "active"}, nil},
		{store.Filter{Query: "word", WorkingDir: "/a"}, []string{"6", "4", "2", "0"}},
		{store.Filter{Query: "word", Tag: "all", Backend: "claude", Status: "done"}, []string{"3", "2"}},
		{store.Filter{Query: "word", Tag: "al"}, nil},
		{store.Filter{Query: "word", Tag: "ALL"}, nil},
		{store.Filter{Backend: "gemini"}, nil},
		{store.Filter{Tag: "%"}, nil},
	} {
		names, total := ids(t, s, "", test.f)
		if diff := cmp.Diff(test.want, names); diff != "" || total != len(test.want) {
			t.Errorf("%+v: %d (-want +got):\n%s", test.f, total, diff)
		}
	}
}

// testFilterChanged: what is changed is found and counted as it is now, also by words of
// before the change.
func testFilterChanged(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a", Title: "elephant", Status: "active", WorkingDir: "/old", Tags: []string{"old", "stays"}})
	appendTurn(t, s, "a", question("giraffe"))
	changeSession(t, s, "a", store.Change{
		Title: new("lion"), Status: new("done"), WorkingDir: new("/new"), Tags: new([]string{"new", "stays"}),
	})
	for _, test := range []struct {
		f    store.Filter
		want int
	}{
		{store.Filter{}, 1}, {store.Filter{Query: "elephant"}, 0}, {store.Filter{Query: "lion"}, 1},
		{store.Filter{Tag: "old"}, 0}, {store.Filter{Tag: "new"}, 1}, {store.Filter{Tag: "stays"}, 1},
		{store.Filter{Status: "active"}, 0}, {store.Filter{Status: "done"}, 1},
		{store.Filter{WorkingDir: "/old"}, 0}, {store.Filter{WorkingDir: "/new"}, 1},
		{store.Filter{Tag: "stays", Status: "done", WorkingDir: "/new"}, 1}, {store.Filter{Tag: "stays", Status: "done", WorkingDir: "/old"}, 0},
	} {
		queries := []string{test.f.Query}
		if test.f.Query == "" {
			queries = []string{"", "giraffe", "lion"}
		}
		for _, test.f.Query = range queries {
			if names, total := ids(t, s, "", test.f); len(names) != test.want || total != test.want {
				t.Errorf("%+v finds %v (%d)", test.f, names, total)
			}
		}
	}
}

func testSearch(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "title", Title: `It's "100 %" done: NEAR the café`}, store.Session{ID: "turns"}, store.Session{ID: "unicode", Title: "Привет мир 日本語"})
	appendTurn(t, s, "turns", question("refactor the parser in main_test.go"))
	appendTurn(t, s, "turns", question("refactor it once more; don't stop"))
	for _, test := range []struct{ query, want string }{
		{"parser", "turns"}, {"PARSER", "turns"}, {"pars", "turns"}, {"arser", ""},
		{"refactor", "turns"}, {"refactor parser", "turns"}, {"parser stop", ""}, // not in one turn
		{"refactor done", ""}, // not in one session
		{`"100 %"`, "title"}, {"it's", "title"}, {"don't stop", "turns"}, {"100%", "title"},
		{"NEAR", "title"}, {"near(the cafe)", "title"}, {"cafe", "title"}, {"café", "title"}, {"the AND", ""}, {"not parser", ""},
		{"main_test.go", "turns"}, {"text:parser", ""}, {"^parser", "turns"}, {"parser*", "turns"}, {"-parser", "turns"},
		{"привет", "unicode"}, {"МИР", "unicode"}, {"日本", "unicode"},
		{"%", ""}, {`"`, ""}, {"'", ""}, {"*", ""}, {" ", ""}, {"\x00", ""}, {"' OR 1=1 --", ""},
		{"\xff", ""}, {"pars\xffer", "turns"}, {"\ue000", ""}, {"\ue000oe3b0", ""}, {strings.Repeat("parser ", 1000), "turns"},
	} {
		names, total := ids(t, s, "", store.Filter{Query: test.query})
		var want []string
		if test.want != "" {
			want = []string{test.want}
		}
		if diff := cmp.Diff(want, names); diff != "" || total != len(want) {
			t.Errorf("%q: %d (-want +got):\n%s", test.query, total, diff)
		}
	}
}

func testSearchBound(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "oldest", Title: "word"})
	for i := range store.MaxFound {
		create(t, s, store.Session{ID: fmt.Sprint(i), Title: "word"})
	}
	names, total := ids(t, s, "", store.Filter{Query: "word", Limit: store.MaxPage})
	if total != store.MaxFound || len(names) != store.MaxFound || names[0] != fmt.Sprint(store.MaxFound-1) || names[len(names)-1] != "0" {
		t.Errorf("%d of %d, from %s to %s", len(names), total, names[0], names[len(names)-1])
	}
}

func testLongText(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a"})
	a := question("first " + strings.Repeat("é", store.MaxText/2) + " last")
	appendTurn(t, s, "a", a)
	for query, want := range map[string]int{"first": 1, "last": 0} {
		if names, _ := ids(t, s, "", store.Filter{Query: query}); len(names) != want {
			t.Errorf("%s finds %v", query, names)
		}
	}
	if turns, err := s.Turns(t.Context(), "", "a"); err != nil || string(turns[0].User) != string(a.Turn.User) {
		t.Errorf("the turn is not what it was, %v", err)
	}
}

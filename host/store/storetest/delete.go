package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

func testClean(t *testing.T, s Sessions) {
	fill := func() {
		t.Helper()
		create(t, s,
			store.Session{ID: "a", Created: at(1), Backend: "claude", Status: "active", Token: []byte("t")},
			store.Session{ID: "b", Created: at(2), Backend: "codex", Status: "done", Token: []byte("u")},
			store.Session{ID: "c", Created: at(3), Backend: "claude", Status: "done"},
		)
	}
	a := store.Deleted{ID: "a", Backend: "claude", Token: []byte("t")}
	b := store.Deleted{ID: "b", Backend: "codex", Token: []byte("u")}
	c := store.Deleted{ID: "c", Backend: "claude"}
	for _, test := range []struct {
		name string
		c    store.Cleaning
		want []store.Deleted
	}{
		{"old ones", store.Cleaning{Before: at(2)}, []store.Deleted{a}},
		{"a backend's", store.Cleaning{Backend: "claude"}, []store.Deleted{a, c}},
		{"a status", store.Cleaning{Status: "done"}, []store.Deleted{b, c}},
		{"all together", store.Cleaning{Before: at(3), Backend: "codex", Status: "done"}, []store.Deleted{b}},
		{"none", store.Cleaning{Backend: "gemini"}, nil},
		{"all", store.Cleaning{}, []store.Deleted{a, b, c}},
	} {
		fill()
		gone, err := s.CleanSessions(t.Context(), "", test.c)
		slices.SortFunc(gone, func(a, b store.Deleted) int { return strings.Compare(a.ID, b.ID) })
		if diff := cmp.Diff(test.want, gone); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.name, err, diff)
		}
		if _, total := ids(t, s, "", store.Filter{}); total != 3-len(test.want) {
			t.Errorf("%s: %d are left", test.name, total)
		}
		if _, err := s.CleanSessions(t.Context(), "", store.Cleaning{}); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	release := lease(t, s, "b")
	if gone, err := s.CleanSessions(t.Context(), "", store.Cleaning{}); err != nil || len(gone) != 2 {
		t.Errorf("with a leased one: %v, %v", gone, err)
	}
	release()
}

func testPruneAge(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "old", Owner: "anna", Created: at(0), Token: []byte("t")}, store.Session{ID: "held", Created: at(0)},
		store.Session{ID: "used", Created: at(0)}, store.Session{ID: "new"})
	appendTurn(t, s, "used", question("text"))
	lease(t, s, "held")
	if gone, err := s.PruneSessions(t.Context(), store.Policy{}); err != nil || len(gone) != 0 {
		t.Errorf("no policy removes %+v, %v", gone, err)
	}
	gone, err := s.PruneSessions(t.Context(), store.Policy{Age: time.Hour})
	if diff := cmp.Diff([]store.Deleted{{Owner: "anna", ID: "old", Token: []byte("t")}}, gone); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	names, _ := ids(t, s, "", store.Filter{})
	if diff := cmp.Diff([]string{"used", "new", "held"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func testPruneCount(t *testing.T, s Sessions) {
	const all, stay = 450, 3 // more than any batch
	for i := range all {
		create(t, s, store.Session{ID: fmt.Sprint(i), Created: at(i), Owner: fmt.Sprint(i % 2)})
	}
	if gone, err := s.PruneSessions(t.Context(), store.Policy{Count: all}); err != nil || len(gone) != 0 {
		t.Errorf("%d are gone though all may stay, %v", len(gone), err)
	}
	if gone, err := s.PruneSessions(t.Context(), store.Policy{Count: stay}); err != nil || len(gone) != all-stay {
		t.Errorf("%d are gone, %v", len(gone), err)
	}
	names, total := ids(t, s, "1", store.Filter{})
	if diff := cmp.Diff([]string{fmt.Sprint(all - 1), fmt.Sprint(all - 3)}, names); diff != "" || total != 2 {
		t.Errorf("%d (-want +got):\n%s", total, diff)
	}
	if names, _ := ids(t, s, "0", store.Filter{}); len(names) != 1 {
		t.Errorf("%v of another owner are left", names)
	}
}

package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/store"
)

func testSession(t *testing.T, s Sessions) {
	want := &store.Session{
		ID: "ses_1", Owner: "anna", ParentID: "ses_0", Backend: "claude", Model: "opus", Mode: "agent", WorkingDir: "/a b/ü",
		System: "Be brief.\n", Title: "It's 100 % \"done\"", Status: "active", Tags: []string{"a", "b"},
		Metadata: map[string]string{"k": "v"}, Token: []byte{0, 1, 255},
		Created: time.Unix(1700000000, 5).UTC(), Updated: time.Unix(1700000000, 5).UTC(),
	}
	given := *want
	given.Tags, given.Updated = []string{"b", "a", "", "b"}, time.Time{}
	if err := s.CreateSession(t.Context(), &given, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &given); diff != "" {
		t.Errorf("what was given is not what is kept (-want +got):\n%s", diff)
	}
	got, err := s.Session(t.Context(), "anna", "ses_1")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if err := s.CreateSession(t.Context(), &given, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	bare := store.Session{ID: "bare"}
	create(t, s, bare)
	got = read(t, s, "bare")
	if got.Created.IsZero() || !got.Updated.Equal(got.Created) {
		t.Fatalf("a bare session is %v", got)
	}
	got.Created, got.Updated = time.Time{}, time.Time{}
	if diff := cmp.Diff(&bare, got); diff != "" {
		t.Errorf("a bare session (-want +got):\n%s", diff)
	}
}

func testSessionWithTurn(t *testing.T, s Sessions) {
	x := &store.Session{ID: "a", Backend: "claude", Status: "new", Title: "elephant"}
	first := question("giraffe")
	first.Turn.Backend, first.Turn.Model, first.Turn.Usage.Input = "claude", "opus", 3
	first.Change = store.Change{Status: new("active"), Token: new([]byte("t"))}
	if err := s.CreateSession(t.Context(), x, &first); err != nil {
		t.Fatal(err)
	}
	if x.Turns != 1 || x.Model != "opus" || x.Status != "active" || string(x.Token) != "t" || x.Usage.Input != 3 {
		t.Errorf("it is %+v", x)
	}
	if diff := cmp.Diff(x, read(t, s, "a")); diff != "" {
		t.Errorf("(-returned +kept):\n%s", diff)
	}
	turns, err := s.Turns(t.Context(), "", "a")
	if err != nil || len(turns) != 1 || string(turns[0].User) != `"giraffe"` {
		t.Errorf("its turns are %v, %v", turns, err)
	}
	for _, query := range []string{"elephant", "giraffe"} {
		if names, _ := ids(t, s, "", store.Filter{Query: query}); len(names) != 1 {
			t.Errorf("%s finds %v", query, names)
		}
	}
	again := question("lion")
	if err := s.CreateSession(t.Context(), &store.Session{ID: "a"}, &again); !errors.Is(err, store.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	if turns, err := s.Turns(t.Context(), "", "a"); err != nil || len(turns) != 1 {
		t.Errorf("half of that was kept: %v, %v", turns, err)
	}
}

func testOwner(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "one", Owner: "anna", Title: "secret", Tags: []string{"x"}}, store.Session{ID: "one", Owner: "bert", Title: "open"})
	create(t, s, store.Session{ID: "two", Owner: "anna", Title: "secret"})
	_, session := s.Session(t.Context(), "bert", "two")
	_, prefix := s.FindSession(t.Context(), "bert", "tw")
	_, turns := s.Turns(t.Context(), "bert", "two")
	_, turn := s.AppendTurn(t.Context(), "bert", "two", store.Append{})
	_, lease := s.Lease(t.Context(), "bert", "two")
	_, deleted := s.DeleteSession(t.Context(), "bert", "two")
	_, _, fork := s.ForkSession(t.Context(), "bert", "two", &store.Session{ID: "three"})
	for what, err := range map[string]error{
		"read": session, "prefix": prefix, "turns": turns, "turn": turn, "lease": lease, "delete": deleted,
		"change": s.ChangeSession(t.Context(), "bert", "two", store.Change{Title: new("mine")}),
		"fork":   fork,
	} {
		absent(t, what, err)
	}
	for _, f := range []store.Filter{{}, {Query: "secret"}, {Tag: "x"}, {Query: "secret", Tag: "x"}} {
		names, total := ids(t, s, "bert", f)
		if f == (store.Filter{}) {
			if diff := cmp.Diff([]string{"one"}, names); diff != "" || total != 1 {
				t.Errorf("bert's list has %d (-want +got):\n%s", total, diff)
			}
		} else if len(names) != 0 || total != 0 {
			t.Errorf("%+v shows %v (%d) to bert", f, names, total)
		}
	}
	if gone, err := s.CleanSessions(t.Context(), "bert", store.Cleaning{}); err != nil || len(gone) != 1 || gone[0].Owner != "bert" {
		t.Errorf("bert's cleaning removes %v, %v", gone, err)
	}
}

func testPrefix(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "abc"}, store.Session{ID: "abcd"}, store.Session{ID: "abxy"}, store.Session{ID: "a%c_"}, store.Session{ID: "Abc"})
	for _, test := range []struct {
		prefix, want string
		err          error
	}{
		{"abc", "abc", nil}, {"abcd", "abcd", nil}, {"abx", "abxy", nil}, {"A", "Abc", nil}, {"a%", "a%c_", nil},
		{"ab", "", store.ErrAmbiguous}, {"a", "", store.ErrAmbiguous},
		{"%", "", store.ErrNotFound}, {"_", "", store.ErrNotFound}, {"abcde", "", store.ErrNotFound}, {"", "", store.ErrNotFound}, {"zz", "", store.ErrNotFound},
	} {
		got, err := s.FindSession(t.Context(), "", test.prefix)
		switch {
		case !errors.Is(err, test.err):
			t.Errorf("%q: %v, not %v", test.prefix, err, test.err)
		case err == nil && got.ID != test.want:
			t.Errorf("%q is %s", test.prefix, got.ID)
		}
	}
	_, err := s.Session(t.Context(), "", "abx")
	absent(t, "a prefix where a whole id belongs", err)
}

func testChange(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "a", Title: "elephant", Status: "active", Tags: []string{"x"}, Token: []byte("t"), Metadata: map[string]string{"k": "v"}})
	before := read(t, s, "a")
	changeSession(t, s, store.Change{})
	if diff := cmp.Diff(before, read(t, s, "a")); diff != "" {
		t.Errorf("no change changes (-want +got):\n%s", diff)
	}
	changeSession(t, s, store.Change{Title: new("giraffe")})
	want := *before
	want.Title = "giraffe"
	if diff := cmp.Diff(&want, read(t, s, "a")); diff != "" {
		t.Errorf("a new title (-want +got):\n%s", diff)
	}
	changeSession(t, s, store.Change{
		Status: new("done"), Tags: new([]string{"z", "y"}), Mode: new("chat"), WorkingDir: new("/d"), System: new("s"), Metadata: new(map[string]string{"l": "w"}),
	})
	want.Status, want.Tags, want.Mode, want.WorkingDir, want.System, want.Metadata = "done", []string{"y", "z"}, "chat", "/d", "s", map[string]string{"l": "w"}
	if diff := cmp.Diff(&want, read(t, s, "a")); diff != "" {
		t.Errorf("the others (-want +got):\n%s", diff)
	}
	changeSession(t, s, store.Change{Title: new(""), Tags: new([]string(nil)), Metadata: new(map[string]string(nil)), Token: new([]byte(nil))})
	want.Title, want.Tags, want.Metadata, want.Token = "", nil, nil, nil
	if diff := cmp.Diff(&want, read(t, s, "a")); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	absent(t, "changing none", s.ChangeSession(t.Context(), "", "b", store.Change{Title: new("c")}))
}

func testDelete(t *testing.T, s Sessions) {
	create(t, s, store.Session{ID: "abc", Backend: "claude", Title: "elephant", Tags: []string{"x"}, Token: []byte("t")})
	appendTurn(t, s, "abc", question("giraffe"))
	_, err := s.DeleteSession(t.Context(), "", "ab")
	absent(t, "deleting by a prefix", err)
	want := read(t, s, "abc")
	got, err := s.DeleteSession(t.Context(), "", "abc")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	_, err = s.DeleteSession(t.Context(), "", "abc")
	absent(t, "deleting twice", err)
	create(t, s, store.Session{ID: "abc"}) // nothing of the old one comes back
	if turns, err := s.Turns(t.Context(), "", "abc"); err != nil || len(turns) != 0 {
		t.Errorf("the new one has %d turns, %v", len(turns), err)
	}
	for _, f := range []store.Filter{{Query: "elephant"}, {Query: "giraffe"}, {Tag: "x"}} {
		if names, total := ids(t, s, "", f); len(names) != 0 || total != 0 {
			t.Errorf("%+v finds %v (%d)", f, names, total)
		}
	}
	if _, total := ids(t, s, "", store.Filter{}); total != 1 {
		t.Errorf("%d are counted", total)
	}
}

func testCount(t *testing.T, s Sessions) {
	want := func(n int) {
		t.Helper()
		if got, err := s.CountSessions(t.Context()); err != nil || got != n {
			t.Errorf("%d sessions are counted, not %d: %v", got, n, err)
		}
	}
	want(0)
	create(t, s, store.Session{ID: "a"}, store.Session{ID: "a", Owner: "anna"})
	want(2)
	if _, _, err := s.ForkSession(t.Context(), "", "a", &store.Session{ID: "b"}); err != nil {
		t.Fatal(err)
	}
	want(3)
	if _, err := s.DeleteSession(t.Context(), "", "a"); err != nil {
		t.Fatal(err)
	}
	want(2)
	if _, err := s.CleanSessions(t.Context(), "anna", store.Cleaning{}); err != nil {
		t.Fatal(err)
	}
	want(1)
}

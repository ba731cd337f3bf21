package storetest

import (
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/clinvk/clinvk/host/store"
)

func testReopen(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	create(t, first, store.Session{ID: "a", Title: "elephant", Tags: []string{"x"}})
	appendTurn(t, first, "a", question("giraffe"))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	s := again(t)
	if got := read(t, s, "a"); got.Turns != 1 {
		t.Errorf("the session is %v", got)
	}
	for _, f := range []store.Filter{{}, {Query: "elephant"}, {Query: "giraffe"}, {Tag: "x"}} {
		if _, total := ids(t, s, "", f); total != 1 {
			t.Errorf("%+v finds %d", f, total)
		}
	}
}

// testTwo has two handles, each used by several goroutines, write the same session
// and read it: no turn is lost or has the number of another.
func testTwo(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	const writers, turns = 4, 25
	handles := []Sessions{first, again(t)}
	create(t, first, store.Session{ID: "a"})
	group, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		s := handles[w%2]
		group.Go(func() error {
			for i := range turns {
				a := store.Append{Turn: store.SessionTurn{Usage: store.Usage{Input: 1}}, Text: fmt.Sprintf("%d-%d", w, i)}
				if _, err := s.AppendTurn(ctx, "", "a", a); err != nil {
					return err
				}
				got, err := s.Session(ctx, "", "a")
				if err != nil {
					return err
				}
				if got.Usage.Input != int64(got.Turns) {
					return fmt.Errorf("half a turn is seen: %+v", got)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, s := range handles {
		kept, err := s.Turns(t.Context(), "", "a")
		if err != nil || len(kept) != writers*turns {
			t.Fatalf("%d turns, %v", len(kept), err)
		}
		for i, turn := range kept {
			if turn.Seq != i+1 {
				t.Fatalf("turn %d has the number %d", i+1, turn.Seq)
			}
		}
	}
}

func testTwoLease(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	second := again(t)
	create(t, first, store.Session{ID: "a"}, store.Session{ID: "b"})
	lease(t, second, "b") // so that both have leased something
	release := lease(t, first, "a")
	_, err := second.Lease(t.Context(), "", "a")
	busy(t, "leasing", err)
	_, err = second.AppendTurn(t.Context(), "", "a", store.Append{})
	busy(t, "a turn", err)
	_, err = second.DeleteSession(t.Context(), "", "a")
	busy(t, "deleting", err)
	busy(t, "a token", second.ChangeSession(t.Context(), "", "a", store.Change{Token: new([]byte("t"))}))
	changeSession(t, second, "a", store.Change{Title: new("a title may be given at any time")})
	release()
	lease(t, second, "a")
}

func testClosedLease(t *testing.T, first Sessions, again func(*testing.T) Sessions) {
	second := again(t)
	create(t, first, store.Session{ID: "a"})
	release := lease(t, first, "a")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	lease(t, second, "a")
	release()
	_, err := second.Lease(t.Context(), "", "a")
	busy(t, "what a closed store gives back", err)
}

package responses

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// small are runs with bounds that a test can reach.
func small() *runs {
	s := newRuns()
	s.all, s.owner = limits{active: 3, finished: 3, bytes: 100}, limits{active: 2, finished: 2, bytes: 60}
	return s
}

func newRun(s *runs, owner, id string) *run {
	return &run{
		id: id, owner: owner, runs: s, cancel: func() {}, news: make(chan struct{}),
		encoder: &encoder{record: &store.Response{ID: id, Settings: []byte("{}"), Output: []byte("[]")}},
	}
}

func start(t *testing.T, s *runs, owner, id string, input int) *run {
	t.Helper()
	r := newRun(s, owner, id)
	if err := s.add(r, input); err != nil {
		t.Fatal(err)
	}
	return r
}

func wantFull(t *testing.T, s *runs, owner string, input int, words string) {
	t.Helper()
	err := s.add(newRun(s, owner, "another"), input)
	if e, ok := errors.AsType[*engine.Error](err); !ok || e.Code != engine.CodeQueueFull || !e.Retryable || !strings.Contains(e.Message, words) {
		t.Errorf("got %v, want %q", err, words)
	}
	if s.find(owner, "another") != nil {
		t.Error("what was refused is kept")
	}
}

func TestFull(t *testing.T) {
	s := small()
	r := start(t, s, "me", "alone", 1000) // one alone is always taken
	wantFull(t, s, "me", 1, "your responses in the background hold")
	wantFull(t, s, "you", 1, "of all clients in the background hold")
	s.over(r)
	start(t, s, "me", "1", 30)
	wantFull(t, s, "me", 31, "your responses in the background hold")
	start(t, s, "me", "2", 30)
	wantFull(t, s, "me", 0, "2 of your responses are in the background already")
	wantFull(t, s, "you", 41, "of all clients in the background hold")
	start(t, s, "you", "3", 40)
	wantFull(t, s, "them", 0, "3 responses of all clients are in the background already")
}

// sized is an event of that many bytes.
func sized(bytes int) func(*encoder, []byte) []byte {
	return func(_ *encoder, b []byte) []byte { return append(b, strings.Repeat("x", bytes-2)+"\n\n"...) }
}

// TestRoom: for new events those that are over go first, the oldest before others; and
// then the oldest of the response itself.
func TestRoom(t *testing.T) {
	s := small()
	for i := range 2 {
		r := start(t, s, "me", fmt.Sprint(i), 0)
		r.update(sized(20))
		s.over(r)
	}
	r := start(t, s, "me", "2", 0)
	r.update(sized(20))
	if s.find("me", "0") == nil || s.find("me", "1") == nil {
		t.Fatal("a response was forgotten that had room")
	}
	r.update(sized(10))
	if s.find("me", "0") != nil || s.find("me", "1") == nil {
		t.Error("not the oldest was forgotten")
	}
	r.update(sized(25))
	if _, _, gone := r.after(-1); gone || s.find("me", "1") != nil {
		t.Error("the response lost events of its own before others did")
	}
	r.update(sized(10))
	if events, _, gone := r.after(0); gone || len(events) != 3 || r.first != 1 || s.total.bytes != 45 {
		t.Errorf("%d events from %d on, %d bytes", len(events), r.first, s.total.bytes)
	}
	if r.update(sized(70)); r.first != 4 || len(r.events) != 1 {
		t.Errorf("%d events from %d on: the last one is always kept", len(r.events), r.first)
	}
}

// TestAccounts: whatever happens, each share is the sum of its runs, and what is over
// is within the bounds.
func TestAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := small()
		var active []*run
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			owner := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "owner")
			pick := func() *run { return active[rapid.IntRange(0, len(active)-1).Draw(t, "which")] }
			switch action := rapid.IntRange(0, 4).Draw(t, "action"); {
			case action == 0:
				r := newRun(s, owner, fmt.Sprint(i))
				if s.add(r, rapid.IntRange(0, 70).Draw(t, "input")) == nil {
					active = append(active, r)
				}
			case len(active) == 0:
			case action == 1:
				r := pick()
				for at := range active {
					if active[at] == r {
						active = append(active[:at], active[at+1:]...)
						break
					}
				}
				s.over(r)
			case action == 2:
				s.forget(pick())
			default:
				pick().update(sized(rapid.IntRange(3, 70).Draw(t, "event")))
			}
			check(t, s, len(active))
		}
	})
}

func check(t *rapid.T, s *runs, active int) {
	want := map[string]*share{}
	sum, finished := 0, 0
	for _, r := range s.byID {
		if want[r.owner] == nil {
			want[r.owner] = &share{}
		}
		want[r.owner].bytes += r.held
		sum += r.held
	}
	actives := 0
	for owner, of := range s.shares {
		if w := want[owner]; (w == nil && of.bytes != 0) || (w != nil && w.bytes != of.bytes) {
			t.Fatalf("%s has %d bytes, want %v", owner, of.bytes, w)
		}
		if len(of.finished) > s.owner.finished || len(of.finished) > 0 && of.bytes > s.owner.bytes {
			t.Fatalf("%s keeps %d that are over, %d bytes", owner, len(of.finished), of.bytes)
		}
		actives += of.active
		finished += len(of.finished)
	}
	if s.total.bytes != sum || s.total.active != active || actives != active || len(s.total.finished) != finished || finished > s.all.finished {
		t.Fatalf("in total %+v, want %d active, %d bytes, %d finished", s.total, active, sum, finished)
	}
}

package responses

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/clinvk/clinvk/host/engine"
)

// Bounds of what is kept in memory of responses in the background. Each that is under
// way holds a place of the engine's or waits for one, and its input; its events stay
// when it is over, as long as there is room.
const (
	// maxRuns is how many may be under way, maxOwnerRuns how many of one owner.
	maxRuns      = 128
	maxOwnerRuns = 64
	// maxFinished is how many that are over still have their events, maxOwnerFinished
	// how many of one owner.
	maxFinished      = 512
	maxOwnerFinished = 64
	// maxEvents is the size, in bytes, of one response's events; the oldest go first.
	maxEvents = 4 << 20
	// maxBytes is the size of all input and events, maxOwnerBytes that of one owner: room
	// for two requests of the largest size.
	maxBytes      = 256 << 20
	maxOwnerBytes = 64 << 20
)

// limits of a share.
type limits struct{ active, finished, bytes int }

// runs are the responses in the background of this process. Its methods may be called
// concurrently, and never call a run's.
type runs struct {
	all, owner limits

	mu     sync.Mutex // guards all below
	byID   map[string]*run
	shares map[string]*share // of owners who have runs
	total  share
	closed bool
	wait   sync.WaitGroup
}

// share is what some runs hold.
type share struct {
	active   int
	bytes    int
	finished []*run // in byID, the oldest first
}

func newRuns() *runs {
	return &runs{
		all: limits{maxRuns, maxFinished, maxBytes}, owner: limits{maxOwnerRuns, maxOwnerFinished, maxOwnerBytes},
		byID: map[string]*run{}, shares: map[string]*share{},
	}
}

// add makes room for a run with an input of that many bytes; the caller starts it, and
// calls over at its end.
func (s *runs) add(r *run, input int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.shares[r.owner]
	if mine == nil {
		mine = &share{}
	}
	switch {
	case s.closed:
		return engine.Errorf(engine.CodeUnavailable, "the server is stopping")
	case mine.active >= s.owner.active:
		return full("%d of your responses are in the background already; wait for one, or cancel one", mine.active)
	case s.total.active >= s.all.active:
		return full("%d responses of all clients are in the background already; try again later", s.total.active)
	}
	s.shares[r.owner], s.byID[r.id] = mine, r
	mine.active++
	s.total.active++
	s.resize(r, input)
	var err error
	excess, excessOfAll := s.fit(mine, s.owner), s.fit(&s.total, s.all)
	switch { // one alone is always taken
	case mine.active > 1 && excess > 0:
		err = full("your responses in the background hold %d MiB already; wait for one, or cancel one", s.owner.bytes>>20)
	case s.total.active > 1 && excessOfAll > 0:
		err = full("the responses of all clients in the background hold %d MiB already; try again later", s.all.bytes>>20)
	default:
		s.wait.Add(1)
		return nil
	}
	mine.active--
	s.total.active--
	s.drop(r)
	return err
}

func full(format string, args ...any) error {
	e := engine.Errorf(engine.CodeQueueFull, format, args...)
	e.Retryable = true
	return e
}

// over notes that a run is; it can still be followed for a while.
func (s *runs) over(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.shares[r.owner]
	mine.active--
	s.total.active--
	if s.byID[r.id] == r {
		mine.finished, s.total.finished = append(mine.finished, r), append(s.total.finished, r)
	}
	s.fit(mine, s.owner)
	s.fit(&s.total, s.all)
	s.tidy(r.owner)
	s.wait.Done()
}

// grow notes that a run holds more bytes, or fewer. For more, those that are over lose
// their events, the oldest first; what is too much even so is returned.
func (s *runs) grow(r *run, bytes int) (excess int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[r.id] != r { // forgotten
		return 0
	}
	s.resize(r, bytes)
	excess = s.fit(s.shares[r.owner], s.owner)
	return max(excess, s.fit(&s.total, s.all))
}

// fit drops what is over until a share is within its limits, and returns how many bytes
// are still too many.
func (s *runs) fit(of *share, l limits) (excess int) {
	for len(of.finished) > 0 && (of.bytes > l.bytes || len(of.finished) > l.finished) {
		s.drop(of.finished[0])
	}
	return max(0, of.bytes-l.bytes)
}

func (s *runs) resize(r *run, bytes int) {
	r.held += bytes
	s.shares[r.owner].bytes += bytes
	s.total.bytes += bytes
}

// drop forgets a run of byID.
func (s *runs) drop(r *run) {
	delete(s.byID, r.id)
	s.resize(r, -r.held)
	for _, of := range []*share{s.shares[r.owner], &s.total} {
		of.finished = slices.DeleteFunc(of.finished, func(other *run) bool { return other == r })
	}
	s.tidy(r.owner)
}

// tidy forgets an owner who has nothing here.
func (s *runs) tidy(owner string) {
	if mine := s.shares[owner]; mine != nil && mine.active == 0 && len(mine.finished) == 0 {
		delete(s.shares, owner)
	}
}

// find is an owner's run; nil: it is not here, or not any more.
func (s *runs) find(owner, id string) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.byID[id]; r != nil && r.owner == owner {
		return r
	}
	return nil
}

// forget drops a run's events.
func (s *runs) forget(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[r.id] == r {
		s.drop(r)
	}
}

// stop ends all runs and waits until they are saved, or ctx ends.
func (s *runs) stop(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	var all []*run
	for _, r := range s.byID {
		all = append(all, r)
	}
	s.mu.Unlock()
	for _, r := range all {
		r.shutDown()
	}
	done := make(chan struct{})
	go func() { s.wait.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for responses in the background: %w", context.Cause(ctx))
	}
}

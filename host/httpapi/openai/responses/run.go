package responses

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// Bounds of what is kept of responses in the background, besides their records.
const (
	// maxRuns is how many may be under way; each holds a place of the engine's or
	// waits for one.
	maxRuns = 64
	// maxFinished is how many that are over still have their events.
	maxFinished = 64
	// maxEvents is the size, in bytes, of one response's events; the oldest go first.
	maxEvents = 4 << 20
)

// The process that works on a response vouches for it every leaseRenew, for leaseTime:
// after a crash nobody waits longer than that.
const (
	leaseTime  = 15 * time.Second
	leaseRenew = 5 * time.Second
)

// runs are the responses in the background of this process.
type runs struct {
	mu       sync.Mutex
	byID     map[string]*run
	finished []string // ids in byID, the oldest first
	active   int
	closed   bool
	wait     sync.WaitGroup
}

func newRuns() *runs { return &runs{byID: map[string]*run{}} }

// add makes room for a run; the caller starts it.
func (s *runs) add(r *run) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return engine.Errorf(engine.CodeUnavailable, "the server is stopping")
	case s.active == maxRuns:
		return engine.Errorf(engine.CodeQueueFull, "%d responses are in the background already; wait for one, or cancel one", maxRuns)
	}
	s.byID[r.id] = r
	s.active++
	s.wait.Add(1)
	return nil
}

// over notes that a run is; it can still be followed for a while.
func (s *runs) over(r *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.finished = append(s.finished, r.id)
	if len(s.finished) > maxFinished {
		delete(s.byID, s.finished[0])
		s.finished = s.finished[1:]
	}
	s.wait.Done()
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
func (s *runs) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
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

// run is a response in the background.
type run struct {
	id, owner string
	cancel    context.CancelFunc

	mu      sync.Mutex // guards all below
	encoder *encoder
	events  [][]byte      // those still kept
	first   int           // sequence number of events[0]
	size    int           // of events, in bytes
	news    chan struct{} // closed at the next event
}

// update lets f append events, unless the response is over.
func (r *run) update(f func(e *encoder, b []byte) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.encoder.over {
		return
	}
	b := f(r.encoder, nil)
	for event := range bytes.SplitAfterSeq(b, []byte("\n\n")) {
		if len(event) > 0 {
			r.events = append(r.events, event)
			r.size += len(event)
		}
	}
	for r.size > maxEvents && len(r.events) > 1 {
		r.size -= len(r.events[0])
		r.events[0] = nil
		r.events = r.events[1:]
		r.first++
	}
	close(r.news)
	r.news = make(chan struct{})
}

// after is what follows the event of that number; news is closed when there is more,
// and nil when there will be none. gone says that events in between are not kept.
func (r *run) after(number int) (events [][]byte, news <-chan struct{}, gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := number + 1 - r.first
	if from < 0 {
		return nil, nil, true
	}
	if from < len(r.events) {
		events = append(events, r.events[from:]...)
	}
	if !r.encoder.over {
		news = r.news
	}
	return events, news, false
}

// object is the response as it is now.
func (r *run) object() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return appendObject(nil, r.encoder.record, true)
}

// abort ends the response as cancelled, with what there is of its answer.
func (r *run) abort() {
	r.update(func(e *encoder, b []byte) []byte {
		e.cut(statusCancelled)
		return e.whole(b, "response.incomplete")
	})
	r.cancel()
}

// shutDown ends the response because the server stops.
func (r *run) shutDown() {
	r.update(func(e *encoder, b []byte) []byte {
		return e.fail(b, "server_shutdown", "the server was stopped before the response was complete; send the request again")
	})
	r.cancel()
}

// work runs the turn to its end.
func (r *run) work(ctx context.Context, execute Engine, t *engine.Turn) {
	defer r.cancel()
	defer func() {
		if cause := recover(); cause != nil { // nobody else recovers on this goroutine
			r.fail(fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
		}
	}()
	x, err := execute.Execute(ctx, t)
	if err != nil {
		r.fail(err)
		return
	}
	defer x.Close()
	r.update(func(e *encoder, b []byte) []byte {
		e.record.Model = x.Model
		return e.started(b)
	})
	for {
		ev, err := x.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			r.fail(err)
			return
		}
		r.update(func(e *encoder, b []byte) []byte { return e.Event(b, ev) })
	}
}

func (r *run) fail(err error) {
	r.update(func(e *encoder, b []byte) []byte { return e.Fail(b, engine.AsError(err)) })
}

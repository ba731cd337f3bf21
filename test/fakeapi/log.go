package fakeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Request is one request that a fake API got.
type Request struct {
	At     time.Time
	Method string
	Path   string
	Header http.Header
	Body   json.RawMessage
	// Turn says that it is a model call that answers the user; false for side
	// calls (token counts, model lists, warm-ups).
	Turn bool

	mu   sync.Mutex
	gone time.Time
	done time.Time
}

// Finished marks the end of the answer; gone says that the client left first.
func (r *Request) Finished(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone {
		r.gone = time.Now()
	} else {
		r.done = time.Now()
	}
}

// Gone is when the client closed the connection before the answer's end; zero
// when it has not.
func (r *Request) Gone() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

// Done is when the whole answer was written; zero when it was not.
func (r *Request) Done() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// Log collects the requests of one fake API. It is safe for concurrent use.
type Log struct {
	mu       sync.Mutex
	requests []*Request
	failed   map[string]int
	active   int
	peak     int
	changed  chan struct{}
}

// Add records a request.
func (l *Log) Add(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Enter counts a model call that is being answered; call leave at its end.
func (l *Log) Enter() (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.active++
	l.peak = max(l.peak, l.active)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.active--
	}
}

// Peak is the largest number of model calls that were answered at one time.
func (l *Log) Peak() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peak
}

// ShouldFail says whether this request of a script with a status fails: always,
// or only the first s.Fails times that the prompt comes.
func (l *Log) ShouldFail(s Script) bool {
	if s.Status == 0 {
		return false
	}
	if s.Fails == 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = map[string]int{}
	}
	l.failed[s.Prompt]++
	return l.failed[s.Prompt] <= s.Fails
}

// Requests returns all requests so far.
func (l *Log) Requests() []*Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Request(nil), l.requests...)
}

// Turns returns the model calls so far.
func (l *Log) Turns() []*Request {
	var out []*Request
	for _, r := range l.Requests() {
		if r.Turn {
			out = append(out, r)
		}
	}
	return out
}

// Reset forgets all requests.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests, l.failed, l.peak = nil, nil, l.active
}

// WaitTurns waits until there are n model calls and returns them.
func (l *Log) WaitTurns(ctx context.Context, n int) ([]*Request, error) {
	for {
		l.mu.Lock()
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if turns := l.Turns(); len(turns) >= n {
			return turns, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return l.Turns(), fmt.Errorf("waiting for %d model calls: %w", n, ctx.Err())
		}
	}
}

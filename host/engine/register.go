package engine

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// State says how far an execution is.
type State string

// States. The first two go on, the others are the end.
const (
	// StateQueued waits for a place.
	StateQueued State = "queued"
	// StateRunning has one.
	StateRunning State = "running"
	// StateCompleted ended as the backend wanted.
	StateCompleted State = "completed"
	// StateFailed ended with an error.
	StateFailed State = "failed"
	// StateCancelled was ended by Cancel, or because its client went away.
	StateCancelled State = "cancelled"
)

// States lists them all.
func States() []State {
	return []State{StateQueued, StateRunning, StateCompleted, StateFailed, StateCancelled}
}

// Over says whether it is the end.
func (s State) Over() bool { return s != StateQueued && s != StateRunning }

// Record is what is known about an execution at one moment. Nothing of its prompt or
// answer is.
type Record struct {
	ID        string
	State     State
	Owner     string
	RequestID string
	Dialect   string
	// Backend that answers, and Model as the client calls it.
	Backend, Model string
	Mode           Mode
	// Session that it belongs to; empty: none.
	Session string
	// Queued is when it asked for a place. The others are zero when it has not come to
	// that: a place, the first part of the answer, the end.
	Queued, Started, FirstToken, Ended time.Time
	// Usage so far.
	Usage Usage
	// Reason is 0 unless the turn worked.
	Reason FinishReason
	// Err is nil unless it did not; it has no cause.
	Err *Error
}

// Filter chooses records; what is empty chooses all.
type Filter struct {
	State                       State
	Backend, Session, RequestID string
	// Limit is how many there may be; 0: all.
	Limit int
}

func (f Filter) takes(r *Record) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(string(f.State), string(r.State)) && is(f.Backend, r.Backend) && is(f.Session, r.Session) && is(f.RequestID, r.RequestID)
}

// Bounds of what is remembered of executions that are over. They are there for those
// who ask what became of a turn that they have just lost: a thousand of them are less
// than a megabyte, and some minutes of a busy server.
const (
	maxPast  = 1000
	keepPast = 10 * time.Minute
	// maxName bounds the names that clients choose, in bytes.
	maxName = 256
)

// register knows the executions that go on, and those that were over a while ago.
type register struct {
	mu   sync.Mutex
	byID map[string]*entry
	past []*entry // in the order of their ends
}

func newRegister() *register { return &register{byID: map[string]*entry{}} }

// add takes an execution in that asks for its place. stop ends it, whatever it does.
func (r *register) add(record Record, stop func(error)) *entry {
	record.State, record.Model = StateQueued, clipName(record.Model)
	e := &entry{register: r, record: record, stop: stop, done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[record.ID] = e
	return e
}

// over moves an execution to the past.
func (r *register) over(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past = append(r.past, e)
	r.forget(e.record.Ended)
}

// forget drops what is too old at a time, or too much; the caller holds mu.
func (r *register) forget(now time.Time) {
	n := max(0, len(r.past)-maxPast)
	for n < len(r.past) && now.Sub(r.past[n].record.Ended) > keepPast {
		n++
	}
	for i, e := range r.past[:n] {
		delete(r.byID, e.record.ID)
		r.past[i] = nil
	}
	r.past = r.past[n:]
}

// find returns an execution of an owner; nil: there is none.
func (r *register) find(owner, id string) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(time.Now())
	if e := r.byID[id]; e != nil && e.record.Owner == owner {
		return e
	}
	return nil
}

// list returns what a filter takes of an owner's executions, the newest first.
func (r *register) list(owner string, f Filter) []Record {
	r.mu.Lock()
	r.forget(time.Now())
	var entries []*entry
	for _, e := range r.byID {
		if e.record.Owner == owner { // which never changes
			entries = append(entries, e)
		}
	}
	r.mu.Unlock()
	out := []Record{}
	for _, e := range entries {
		if record := e.snapshot(); f.takes(&record) {
			out = append(out, record)
		}
	}
	// Ids begin with the time, and of one moment with a number.
	slices.SortFunc(out, func(a, b Record) int { return strings.Compare(b.ID, a.ID) })
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out
}

func clipName(name string) string {
	if len(name) <= maxName {
		return name
	}
	return strings.ToValidUTF8(name[:maxName], "") + "…"
}

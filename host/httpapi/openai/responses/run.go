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

// The process that works on a response vouches for it every leaseRenew, for leaseTime:
// after a crash nobody waits longer than that.
const (
	leaseTime  = 15 * time.Second
	leaseRenew = 5 * time.Second
)

// run is a response in the background.
type run struct {
	id, owner string
	runs      *runs
	held      int // bytes, guarded by runs.mu
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
	grown := len(b) - r.trim(r.size-maxEvents)
	if r.encoder.over { // its input is in the store
		grown -= len(r.encoder.record.Input)
		r.encoder.record.Input = nil
	}
	if excess := r.runs.grow(r, grown); excess > 0 {
		r.runs.grow(r, -r.trim(excess))
	}
	close(r.news)
	r.news = make(chan struct{})
}

// trim forgets the oldest events until so many bytes are free, but never the last one;
// it returns how many are.
func (r *run) trim(bytes int) (freed int) {
	for freed < bytes && len(r.events) > 1 {
		freed += len(r.events[0])
		r.events[0] = nil
		r.events = r.events[1:]
		r.first++
	}
	r.size -= freed
	return freed
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

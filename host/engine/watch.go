package engine

import (
	"io"
	"sync"
)

// Watcher follows a turn as its client sees it. Its methods are called one at a time,
// before the client gets what they are told.
type Watcher interface {
	// Event takes the next event. The last one is *Completed; its SessionToken is nil
	// when the backend's session holds something else than the client has seen. An
	// error ends the turn: it is given out instead of the event.
	Event(ev Event) error
	// Failed says that the turn ended without *Completed, or that the client has gone.
	Failed(err *Error)
}

// watch tells all who follow a turn what its client gets, and the end once. They are
// called in the order in which they were added: what one makes of an event is what
// those behind it are told.
type watch struct {
	mu       sync.Mutex
	watchers []Watcher // none: the end was told
	err      error     // what a watcher made of the end
}

// add lets watchers follow too, nil ones excepted.
func (w *watch) add(watchers ...Watcher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, each := range watchers {
		if each != nil {
			w.watchers = append(w.watchers, each)
		}
	}
}

// see shows what Next returns to the watchers, and returns what Next returns then.
func (w *watch) see(ev Event, err error) (Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return nil, w.err
	case err == io.EOF: //nolint:errorlint // as Next returns it
		return nil, err
	case err != nil:
		w.fail(AsError(err))
		return nil, err
	}
	for i, each := range w.watchers {
		if err := each.Event(ev); err != nil {
			e := AsError(err)
			w.err, w.watchers = e, w.watchers[i+1:] // it knows itself
			w.fail(e)
			return nil, e
		}
	}
	if _, over := ev.(*Completed); over {
		w.watchers = nil
	}
	return ev, nil
}

// gone says that nobody asks for the rest.
func (w *watch) gone(err *Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail(err)
}

// fail tells the end; the caller holds mu.
func (w *watch) fail(err *Error) {
	for _, each := range w.watchers {
		each.Failed(err)
	}
	w.watchers = nil
}

package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// heartbeat is how long a stream may be quiet: proxies cut idle ones after a
// minute.
const heartbeat = 15 * time.Second

// Encoder is the wire form of a stream. Its methods append to b and return it;
// they are called by one goroutine.
type Encoder interface {
	// ContentType of the response.
	ContentType() string
	// Begin is called once, before anything else.
	Begin(b []byte) []byte
	// Event appends the form of ev, which may be nothing. *engine.Completed is the
	// last one.
	Event(b []byte, ev engine.Event) []byte
	// Fail appends a failure after the stream has begun; nothing follows.
	Fail(b []byte, err *engine.Error) []byte
	// Heartbeat appends something without meaning.
	Heartbeat(b []byte) []byte
}

// Stream runs x to its end, writing events as they come. The response begins with
// the first part of the answer, so that a failure before has a status of its own:
// it is returned, nothing having been written. When nothing comes for a while, or
// much that is no answer, the response begins all the same. Stream closes x.
func Stream(w http.ResponseWriter, r *http.Request, x *engine.Execution, ignored []string, e Encoder) error {
	s := &streamer{w: w, encoder: e, x: x, ignored: ignored, events: make(chan item, streamBuffer), control: http.NewResponseController(w)}
	about(r.Context()).backend = x.Backend
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.read(stop)
	}()
	defer func() {
		close(stop)
		x.Close() // ends a Next that waits
		<-done
	}()
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case it := <-s.events:
			over, err := s.take(it)
			if err != nil && !s.begun {
				return err
			}
			wrote := len(s.buf) > 0
			if flushErr := s.flush(); flushErr != nil {
				return flushErr
			}
			if over {
				return err
			}
			if wrote { // events that a dialect does not show keep no connection alive
				ticker.Reset(heartbeat)
			}
		case <-ticker.C:
			s.begin()
			s.buf = e.Heartbeat(s.buf)
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
}

// Bounds of what a stream keeps. Beyond them the plugin has to wait: a million
// events for a client that does not read must cost nothing.
const (
	// streamBuffer is how many events may wait while the client is written to.
	streamBuffer = 64
	// bigEvent is the size, in bytes, from which on an event has to be encoded before
	// the next one is asked for.
	bigEvent = 16 << 10
	// flushSize is how many encoded bytes are worth a write although more events wait.
	flushSize = 64 << 10
	// pendingSize is how many bytes of events may wait for the response to begin.
	pendingSize = 64 << 10
)

type item struct {
	ev  engine.Event
	err error
	// encoded is closed when the event was; nil: nobody waits for that.
	encoded chan struct{}
}

type streamer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	encoder Encoder
	x       *engine.Execution
	ignored []string
	events  chan item
	pending []engine.Event // before the response begins
	size    int            // of pending, in bytes
	begun   bool
	buf     []byte
}

// read hands events over until the end.
func (s *streamer) read(stop <-chan struct{}) {
	for {
		it := s.next()
		select {
		case s.events <- it:
		case <-stop:
			return
		}
		if it.err != nil {
			return
		}
		if it.encoded == nil {
			continue
		}
		select {
		case <-it.encoded:
		case <-stop:
			return
		}
	}
}

// next takes the next event. Nobody else recovers on this goroutine, and a panic
// must not cost more than its turn.
func (s *streamer) next() (it item) {
	defer func() {
		if cause := recover(); cause != nil {
			it = item{err: fmt.Errorf("panic: %v\n%s", cause, debug.Stack())}
		}
	}()
	ev, err := s.x.Next()
	it = item{ev: ev, err: err}
	if err == nil && engine.Size(ev) > bigEvent {
		it.encoded = make(chan struct{})
	}
	return it
}

// take encodes one event and those that wait behind it, as long as they are worth
// one write.
func (s *streamer) take(it item) (over bool, err error) {
	for {
		switch {
		case errors.Is(it.err, io.EOF):
			return true, nil
		case it.err != nil:
			e := engine.AsError(it.err)
			if s.begun {
				s.buf = s.encoder.Fail(s.buf, e)
			}
			return true, e
		}
		s.encode(it.ev)
		if it.encoded != nil {
			close(it.encoded)
		}
		if len(s.buf) >= flushSize {
			return false, nil
		}
		select {
		case it = <-s.events:
		default:
			return false, nil
		}
	}
}

func (s *streamer) encode(ev engine.Event) {
	if !s.begun {
		s.size += engine.Size(ev)
		if !begins(ev) && s.size <= pendingSize {
			s.pending = append(s.pending, ev)
			return
		}
		s.begin()
	}
	s.buf = s.encoder.Event(s.buf, ev)
}

// begins says whether an event is worth a response.
func begins(ev engine.Event) bool {
	switch ev.(type) {
	case *engine.Started, *engine.UsageEvent, *engine.Notice:
		return false
	}
	return true
}

func (s *streamer) begin() {
	if s.begun {
		return
	}
	s.begun = true
	BeginTurn(s.w, s.x, s.ignored)
	h := s.w.Header()
	h.Set("Content-Type", s.encoder.ContentType())
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	s.buf = s.encoder.Begin(s.buf)
	for _, ev := range s.pending {
		s.buf = s.encoder.Event(s.buf, ev)
	}
	s.pending = nil
}

// flush sends what was encoded. An error means that the client is gone.
func (s *streamer) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if cap(s.buf) > 4*flushSize { // one event was very large
		s.buf = nil
	}
	if err == nil {
		err = s.control.Flush()
	}
	if errors.Is(err, http.ErrNotSupported) {
		err = nil
	}
	return err
}

// Collect runs x to its end and sets the headers of the answer. It closes x.
func Collect(w http.ResponseWriter, r *http.Request, x *engine.Execution, ignored []string) (*engine.Answer, error) {
	defer x.Close()
	about(r.Context()).backend = x.Backend
	answer, err := engine.Collect(x)
	if err != nil {
		return nil, err
	}
	BeginTurn(w, x, ignored)
	return answer, nil
}

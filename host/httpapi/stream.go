package httpapi

import (
	"errors"
	"io"
	"net/http"
	"sync"
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
	return StreamChoices(w, r, x, nil, ignored, single{e})
}

// StreamChoices is Stream for several turns that are answered together, and run side
// by side: x is choice 0, and each of more starts one more turn, on a goroutine of its
// own. The first failure ends all of them.
func StreamChoices(w http.ResponseWriter, r *http.Request, x *engine.Execution, more []Start, ignored []string, e ChoiceEncoder) error {
	s := &streamer{w: w, encoder: e, x: x, ignored: ignored, events: make(chan item, streamBuffer), control: http.NewResponseController(w)}
	about(r.Context()).backend = x.Backend
	sources := newSources(r.Context(), x, more)
	s.left = len(sources)
	stop := make(chan struct{})
	var reading sync.WaitGroup
	for choice, from := range sources {
		reading.Go(func() { s.read(choice, from, stop) })
	}
	defer func() {
		close(stop)
		for _, from := range sources {
			from.Close() // ends a Next that waits
		}
		reading.Wait()
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
	choice int
	ev     engine.Event
	err    error
	// encoded is closed when the event was; nil: nobody waits for that.
	encoded chan struct{}
}

type streamer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	encoder ChoiceEncoder
	x       *engine.Execution // the first choice
	ignored []string
	events  chan item
	left    int    // choices that are not over
	pending []item // before the response begins
	size    int    // of pending, in bytes
	begun   bool
	buf     []byte
}

// read hands the events of one choice over until the end.
func (s *streamer) read(choice int, from source, stop <-chan struct{}) {
	for {
		it := next(from)
		it.choice = choice
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

// next takes the next event.
func next(from source) (it item) {
	defer survive(&it.err)
	ev, err := from.Next()
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
			if s.left--; s.left == 0 {
				return true, nil
			}
		case it.err != nil:
			e := engine.AsError(it.err)
			if s.begun {
				s.buf = s.encoder.Fail(s.buf, e)
			}
			return true, e
		default:
			s.encode(it)
		}
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

func (s *streamer) encode(it item) {
	if !s.begun {
		s.size += engine.Size(it.ev)
		if !begins(it.ev) && s.size <= pendingSize {
			s.pending = append(s.pending, it)
			return
		}
		s.begin()
	}
	s.buf = s.encoder.Event(s.buf, it.choice, it.ev)
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
	for _, it := range s.pending {
		s.buf = s.encoder.Event(s.buf, it.choice, it.ev)
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

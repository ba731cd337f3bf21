package httpapi

import (
	"errors"
	"io"
	"net/http"
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
// it is returned, nothing having been written. When nothing comes for a while the
// response begins all the same, with a heartbeat. Stream closes x.
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

// streamBuffer is how many events may wait while the client is written to; then
// the plugin has to wait.
const streamBuffer = 64

type item struct {
	ev  engine.Event
	err error
}

type streamer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	encoder Encoder
	x       *engine.Execution
	ignored []string
	events  chan item
	pending []engine.Event // before the response begins
	begun   bool
	buf     []byte
}

// read hands events over until the end.
func (s *streamer) read(stop <-chan struct{}) {
	for {
		ev, err := s.x.Next()
		select {
		case s.events <- item{ev, err}:
		case <-stop:
			return
		}
		if err != nil {
			return
		}
	}
}

// take encodes one event and those that wait behind it.
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
		select {
		case it = <-s.events:
		default:
			return false, nil
		}
	}
}

func (s *streamer) encode(ev engine.Event) {
	if !s.begun {
		if !begins(ev) {
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

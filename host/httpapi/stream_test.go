package httpapi

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// lineEncoder writes a line per event.
type lineEncoder struct{}

func (lineEncoder) ContentType() string       { return "text/plain" }
func (lineEncoder) Begin(b []byte) []byte     { return append(b, "begin\n"...) }
func (lineEncoder) Heartbeat(b []byte) []byte { return append(b, "beat\n"...) }
func (lineEncoder) Event(b []byte, ev engine.Event) []byte {
	return fmt.Appendf(b, "%T\n", ev)
}
func (lineEncoder) Fail(b []byte, err *engine.Error) []byte {
	return append(b, "fail "+err.Message+"\n"...)
}

type step struct {
	wait time.Duration
	ev   engine.Event
	err  error
}

func replay(steps ...step) *engine.Execution {
	return engine.Replay("turn_1", "b", "m", func() (engine.Event, error) {
		if len(steps) == 0 {
			return nil, io.EOF
		}
		s := steps[0]
		steps = steps[1:]
		time.Sleep(s.wait)
		return s.ev, s.err
	})
}

func TestStream(t *testing.T) {
	started, text, usage, done := &engine.Started{}, &engine.TextDelta{Text: "x"}, &engine.UsageEvent{}, &engine.Completed{}
	broken := &engine.Error{Code: engine.CodeOverloaded, Message: "busy"}
	tests := []struct {
		name  string
		steps []step
		want  string
		err   error
	}{
		{"whole", []step{{ev: started}, {ev: usage}, {ev: text}, {ev: done}}, "begin\n*engine.Started\n*engine.UsageEvent\n*engine.TextDelta\n*engine.Completed\n", nil},
		{"empty answer", []step{{ev: started}, {ev: done}}, "begin\n*engine.Started\n*engine.Completed\n", nil},
		{"failure before the answer", []step{{ev: started}, {ev: usage}, {err: broken}}, "", broken},
		{"failure in mid-answer", []step{{ev: started}, {ev: text}, {err: broken}}, "begin\n*engine.Started\n*engine.TextDelta\nfail busy\n", broken},
		{"quiet start", []step{{ev: started}, {wait: 31 * time.Second, ev: text}, {ev: done}}, "begin\n*engine.Started\nbeat\nbeat\n*engine.TextDelta\n*engine.Completed\n", nil},
		{"quiet start, then failure", []step{{wait: 16 * time.Second, err: broken}}, "begin\nbeat\nfail busy\n", broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := httptest.NewRecorder()
				err := Stream(w, httptest.NewRequest("POST", "/", nil), replay(test.steps...), []string{"top_p"}, lineEncoder{})
				if !errors.Is(err, test.err) && err != test.err {
					t.Errorf("err = %v", err)
				}
				if got := w.Body.String(); got != test.want {
					t.Errorf("got %q", got)
				}
				if test.want != "" && (w.Code != http.StatusOK || w.Header().Get("X-Clinvk-Ignored") != "top_p" || !strings.Contains(w.Header().Get("Server-Timing"), "queue")) {
					t.Errorf("status %d, header %v", w.Code, w.Header())
				}
			})
		})
	}
}

// brokenWriter is a client that has gone.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestStreamEndsWhenTheClientHasGone(t *testing.T) {
	n := 0
	x := engine.Replay("turn_1", "b", "m", func() (engine.Event, error) {
		n++
		if n > 100_000 {
			return nil, io.EOF
		}
		return &engine.TextDelta{Text: "x"}, nil
	})
	err := Stream(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest("POST", "/", nil), x, nil, lineEncoder{})
	if err == nil || n > 10_000 {
		t.Errorf("err = %v after %d events", err, n)
	}
}

// countingWriter notes how large the writes are, and what was asked for meanwhile.
type countingWriter struct {
	http.ResponseWriter
	events   *atomic.Int64
	largest  int
	farthest int64 // most events asked for between two writes
	last     int64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n := w.events.Load()
	w.largest, w.farthest, w.last = max(w.largest, len(b)), max(w.farthest, n-w.last), n
	return len(b), nil
}

// sizeEncoder writes about as much as an event keeps.
type sizeEncoder struct{ lineEncoder }

func (sizeEncoder) Event(b []byte, ev engine.Event) []byte {
	return append(b, make([]byte, engine.Size(ev))...)
}

// TestStreamKeepsLittle shows what a stream keeps of what comes faster than it can
// be written.
func TestStreamKeepsLittle(t *testing.T) {
	const most = 20_000
	notice := &engine.Notice{Message: strings.Repeat("n", 100)}
	big := &engine.ToolResultEvent{ToolResult: engine.ToolResult{Parts: []engine.Part{engine.Text(strings.Repeat("b", bigEvent+1))}}}
	for _, test := range []struct {
		name  string
		ev    engine.Event
		queue int64 // how many may wait
	}{
		{"small events", &engine.TextDelta{Text: "x"}, streamBuffer},
		{"events that begin no response", notice, streamBuffer},
		{"big events", big, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var n atomic.Int64
			x := engine.Replay("turn_1", "b", "m", func() (engine.Event, error) {
				if n.Add(1) > most {
					return nil, io.EOF
				}
				return test.ev, nil
			})
			w := &countingWriter{ResponseWriter: httptest.NewRecorder(), events: &n}
			if err := Stream(w, httptest.NewRequest("POST", "/", nil), x, nil, sizeEncoder{}); err != nil {
				t.Fatal(err)
			}
			farthest := (pendingSize+flushSize)/int64(engine.Size(test.ev)) + 2*(test.queue+2)
			if w.largest > 3*flushSize || w.farthest > farthest {
				t.Errorf("writes of up to %d bytes, up to %d events between two (want %d)", w.largest, w.farthest, farthest)
			}
		})
	}
}

// TestStreamSurvivesPanics shows that a panic where events are read costs one turn:
// it happens on a goroutine on which nobody else would recover.
func TestStreamSurvivesPanics(t *testing.T) {
	x := engine.Replay("turn_1", "b", "m", func() (engine.Event, error) { panic("oh") })
	err := Stream(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), x, nil, lineEncoder{})
	if e := engine.AsError(err); e == nil || e.Code != engine.CodeInternal || strings.Contains(e.Message, "oh") || !strings.Contains(e.Err.Error(), "panic: oh") {
		t.Errorf("err = %v", err)
	}
}

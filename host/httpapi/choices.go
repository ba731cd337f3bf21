package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/clinvk/clinvk/host/engine"
)

// Start starts one of several turns that are answered together. The turn must end
// when ctx does.
type Start func(ctx context.Context) (*engine.Execution, error)

// ChoiceEncoder is the wire form of several turns in one stream; it is Encoder apart
// from Event, which is told which of the turns an event is of.
type ChoiceEncoder interface {
	ContentType() string
	Begin(b []byte) []byte
	Event(b []byte, choice int, ev engine.Event) []byte
	Fail(b []byte, err *engine.Error) []byte
	Heartbeat(b []byte) []byte
}

// single encodes the one turn that there is.
type single struct{ Encoder }

func (s single) Event(b []byte, _ int, ev engine.Event) []byte { return s.Encoder.Event(b, ev) }

// source gives the events of one turn, as *engine.Execution does.
type source interface {
	Next() (engine.Event, error)
	Close()
}

func newSources(ctx context.Context, x *engine.Execution, more []Start) []source {
	out := make([]source, 1, 1+len(more))
	out[0] = x
	for _, start := range more {
		l := &later{start: start}
		l.ctx, l.cancel = context.WithCancel(ctx)
		out = append(out, l)
	}
	return out
}

// later is a turn that is started when its first event is asked for, because that may
// have to wait for the end of another.
type later struct {
	start  Start
	ctx    context.Context //nolint:containedctx // the life of the turn
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows against Close
	x      *engine.Execution
	closed bool
}

// Next has one caller at a time.
func (l *later) Next() (engine.Event, error) {
	x, err := l.begin()
	if err != nil {
		return nil, err
	}
	return x.Next()
}

func (l *later) begin() (*engine.Execution, error) {
	l.mu.Lock()
	x := l.x
	l.mu.Unlock()
	if x != nil {
		return x, nil
	}
	x, err := l.start(l.ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		x.Close()
		return nil, context.Canceled
	}
	l.x = x
	return x, nil
}

// Close ends the turn, also while it waits for its start.
func (l *later) Close() {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.x != nil {
		l.x.Close()
	}
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

// CollectChoices is Collect for several turns that are answered together, and run side
// by side: x is the first, and each of more starts another, on a goroutine of its own.
// The first failure ends all of them and is returned.
func CollectChoices(w http.ResponseWriter, r *http.Request, x *engine.Execution, more []Start, ignored []string) ([]*engine.Answer, error) {
	if len(more) == 0 {
		answer, err := Collect(w, r, x, ignored)
		return []*engine.Answer{answer}, err
	}
	defer x.Close()
	about(r.Context()).backend = x.Backend
	answers := make([]*engine.Answer, 1+len(more))
	g, ctx := errgroup.WithContext(r.Context())
	g.Go(func() (err error) {
		defer survive(&err)
		defer context.AfterFunc(ctx, x.Close)()
		answers[0], err = engine.Collect(x)
		return err
	})
	for i, start := range more {
		g.Go(func() (err error) {
			defer survive(&err)
			x, err := start(ctx)
			if err != nil {
				return err
			}
			defer x.Close()
			answers[i+1], err = engine.Collect(x)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	BeginTurn(w, x, ignored)
	return answers, nil
}

// survive makes a panic an error, on goroutines on which nobody else recovers: it must
// not cost more than its turn.
func survive(err *error) {
	if cause := recover(); cause != nil {
		*err = fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
	}
}

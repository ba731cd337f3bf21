package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clinvk/clinvk/host/engine"
)

// numberEncoder writes the number of each event's choice before it.
type numberEncoder struct{ lineEncoder }

func (e numberEncoder) Event(b []byte, choice int, ev engine.Event) []byte {
	return e.lineEncoder.Event(fmt.Appendf(b, "%d ", choice), ev)
}

func starts(x ...*engine.Execution) (out []Start) {
	for _, x := range x {
		out = append(out, func(context.Context) (*engine.Execution, error) { return x, nil })
	}
	return out
}

func answer(text string) *engine.Execution {
	return replay(step{ev: &engine.Started{}}, step{ev: &engine.TextDelta{Text: text}}, step{ev: &engine.Completed{}})
}

func TestStreamChoices(t *testing.T) {
	w := httptest.NewRecorder()
	err := StreamChoices(w, httptest.NewRequest("POST", "/", nil), answer("a"), starts(answer("b"), answer("c")), nil, numberEncoder{})
	if err != nil {
		t.Fatal(err)
	}
	all, begun := strings.CutPrefix(w.Body.String(), "begin\n")
	lines := strings.Split(strings.TrimSuffix(all, "\n"), "\n")
	for choice := range 3 {
		var got []string
		for _, line := range lines {
			if what, ok := strings.CutPrefix(line, fmt.Sprintf("%d ", choice)); ok {
				got = append(got, what)
			}
		}
		if want := []string{"*engine.Started", "*engine.TextDelta", "*engine.Completed"}; !slices.Equal(got, want) {
			t.Errorf("choice %d: %q", choice, got)
		}
	}
	if !begun || len(lines) != 9 {
		t.Errorf("%q", w.Body)
	}
}

// waiting is a turn that never gets its place, and says when it was given up.
func waiting(ended *atomic.Int64) Start {
	return func(ctx context.Context) (*engine.Execution, error) {
		<-ctx.Done()
		ended.Add(1)
		return nil, ctx.Err()
	}
}

func TestOneChoiceFailsThemAll(t *testing.T) {
	broken := &engine.Error{Code: engine.CodeOverloaded, Message: "busy"}
	refused := func(context.Context) (*engine.Execution, error) { return nil, broken }
	middle := starts(replay(step{ev: &engine.TextDelta{Text: "x"}}, step{err: broken}))[0]
	for name, tt := range map[string]struct {
		x    *engine.Execution
		more []Start
	}{
		"the first":                {replay(step{err: broken}), nil},
		"another, before it began": {answer("a"), []Start{refused}},
		"another, in the middle":   {answer("a"), []Start{middle}},
	} {
		t.Run(name, func(t *testing.T) {
			var ended atomic.Int64
			w := httptest.NewRecorder()
			err := StreamChoices(w, httptest.NewRequest("POST", "/", nil), tt.x, append(tt.more, waiting(&ended)), nil, numberEncoder{})
			if !errors.Is(err, broken) || ended.Load() != 1 {
				t.Errorf("got %v, and %d turns ended", err, ended.Load())
			}
			if w.Body.Len() > 0 && !strings.HasSuffix(w.Body.String(), "fail busy\n") {
				t.Errorf("got %q", w.Body)
			}
		})
	}
	var ended atomic.Int64
	_, err := CollectChoices(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), answer("a"), []Start{waiting(&ended), refused}, nil)
	if !errors.Is(err, broken) || ended.Load() != 1 {
		t.Errorf("collected: %v, and %d turns ended", err, ended.Load())
	}
}

// TestChoicesEndWithTheClient shows that no turn stays when the client has gone.
func TestChoicesEndWithTheClient(t *testing.T) {
	var ended atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest("POST", "/", nil).WithContext(ctx)
	gone := engine.Replay("turn_1", "b", "m", func() (engine.Event, error) {
		cancel()
		return nil, context.Canceled
	})
	if _, err := CollectChoices(httptest.NewRecorder(), r, gone, []Start{waiting(&ended), waiting(&ended)}, nil); err == nil || ended.Load() != 2 {
		t.Errorf("collect: %v, and %d turns ended", err, ended.Load())
	}
	err := StreamChoices(brokenWriter{httptest.NewRecorder()}, httptest.NewRequest("POST", "/", nil), answer("a"), []Start{waiting(&ended)}, nil, numberEncoder{})
	if err == nil || ended.Load() != 3 {
		t.Errorf("stream: %v, and %d turns ended", err, ended.Load())
	}
}

func TestCollectChoices(t *testing.T) {
	answers, err := CollectChoices(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), answer("a"), starts(answer("b"), answer("c")), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range answers {
		got = append(got, a.Text())
	}
	if want := []string{"a", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestChoicesSurvivePanics is TestStreamSurvivesPanics for turns that run side by side.
func TestChoicesSurvivePanics(t *testing.T) {
	boom := func(context.Context) (*engine.Execution, error) { panic("oh") }
	_, err := CollectChoices(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), answer("a"), []Start{boom}, nil)
	if err == nil || !strings.Contains(err.Error(), "panic: oh") {
		t.Errorf("err = %v", err)
	}
}

// TestLateStart shows that a turn that starts when all is over is closed again.
func TestLateStart(t *testing.T) {
	l := &later{}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	l.start = func(context.Context) (*engine.Execution, error) {
		l.Close()
		return engine.Replay("turn_1", "b", "m", func() (engine.Event, error) { return nil, io.EOF }), nil
	}
	if _, err := l.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
}

// TestChoicesTakeTurns shows that choices need no more places than there are: each may
// wait for the end of another, whatever the order.
func TestChoicesTakeTurns(t *testing.T) {
	place := make(chan struct{}, 1)
	start := func(ctx context.Context) (*engine.Execution, error) {
		select {
		case place <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		steps := []engine.Event{&engine.TextDelta{Text: "x"}, &engine.Completed{}}
		return engine.Replay("turn_1", "b", "m", func() (engine.Event, error) {
			if len(steps) == 0 {
				return nil, io.EOF
			}
			ev := steps[0]
			if steps = steps[1:]; len(steps) == 0 {
				<-place // as the engine does at the end of a turn
			}
			return ev, nil
		}), nil
	}
	more := []Start{start, start, start}
	first := func() *engine.Execution {
		x, err := start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	answers, err := CollectChoices(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), first(), more, nil)
	if err != nil || len(answers) != 4 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	w := httptest.NewRecorder()
	if err := StreamChoices(w, httptest.NewRequest("POST", "/", nil), first(), more, nil, numberEncoder{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.Body.String(), "Completed"); n != 4 {
		t.Errorf("%d choices came to an end: %s", n, w.Body)
	}
}

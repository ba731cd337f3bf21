package compose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers with the prompt; a prompt that begins with "fail" fails, one that begins
// with "refuse" is refused, and "wait N" takes N seconds.
type fake struct{ running, most atomic.Int64 }

func (f *fake) Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error) {
	text, _ := t.Messages[0].Parts[0].(engine.Text)
	prompt := string(text)
	if strings.HasPrefix(prompt, "panic") {
		panic("as it was told to")
	}
	if strings.HasPrefix(prompt, "refuse") {
		return nil, engine.Errorf(engine.CodeModelNotFound, "refused")
	}
	n := f.running.Add(1)
	f.most.Store(max(f.most.Load(), n))
	var wait int
	_, _ = fmt.Sscanf(prompt, "wait %d", &wait) // anything else waits for nothing
	step := 0
	return engine.Replay("turn_1", t.Backend, t.Model, func() (engine.Event, error) {
		step++
		switch step {
		case 1:
			return &engine.TextDelta{Text: prompt}, nil
		case 2:
			defer f.running.Add(-1)
			select {
			case <-time.After(time.Duration(wait) * time.Second):
			case <-ctx.Done():
				return nil, engine.AsError(ctx.Err())
			}
			if strings.HasPrefix(prompt, "fail") {
				return nil, engine.Errorf(engine.CodeUpstreamFailure, "failed")
			}
			return &engine.Completed{Reason: engine.FinishStop}, nil
		}
		return nil, io.EOF
	}), nil
}

func turn(prompt string) *engine.Turn {
	return &engine.Turn{Backend: "echo", Messages: []engine.Message{{Role: engine.RoleUser, Parts: []engine.Part{engine.Text(prompt)}}}}
}

func turns(prompts ...string) (out []*engine.Turn) {
	for _, p := range prompts {
		out = append(out, turn(p))
	}
	return out
}

// short is what tests compare of outcomes.
func short(outcomes []Outcome) (out []string) {
	for _, o := range outcomes {
		s := o.Text
		if o.Err != nil {
			s += " ! " + o.Err.Message
		}
		if o.Skipped {
			s = "skipped"
		}
		out = append(out, s)
	}
	return out
}

func TestParallelKeepsOrderAndBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		out := Parallel(t.Context(), f, turns("wait 3", "wait 1", "fail x", "refuse", "wait 2", "wait 1"), ParallelOptions{Max: 2})
		want := []string{"wait 3", "wait 1", "fail x ! failed", " ! refused", "wait 2", "wait 1"}
		if diff := cmp.Diff(want, short(out)); diff != "" {
			t.Error(diff)
		}
		if f.most.Load() != 2 || f.running.Load() != 0 {
			t.Errorf("%d ran at a time, %d still do", f.most.Load(), f.running.Load())
		}
		if out[0].Duration != 3*time.Second {
			t.Errorf("took %v", out[0].Duration)
		}
	})
}

func TestFailFastEndsTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		out := Parallel(t.Context(), &fake{}, turns("wait 100", "fail", "wait 1", "never"), ParallelOptions{Max: 2, FailFast: true})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %v", took)
		}
		want := []string{"wait 100 ! cancelled because another one failed", "fail ! failed", "skipped", "skipped"}
		if diff := cmp.Diff(want, short(out)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCancelledByTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, context.Canceled)
		defer cancel()
		out := Parallel(ctx, &fake{}, turns("wait 100", "x"), ParallelOptions{Max: 1})
		if out[0].Err == nil || !out[1].Skipped {
			t.Errorf("%+v", out)
		}
	})
}

func TestObserverSeesEachEndOnce(t *testing.T) {
	ends, inside := map[int]int{}, false
	var mu sync.Mutex
	Parallel(t.Context(), &fake{}, turns("a", "fail", "refuse", "b"), ParallelOptions{Observe: func(e Event) {
		mu.Lock()
		again := inside
		inside = true
		mu.Unlock()
		if again {
			t.Error("called while it was called")
		}
		if _, done := e.Event.(*engine.Completed); done || e.Err != nil {
			ends[e.Index]++
		}
		mu.Lock()
		inside = false
		mu.Unlock()
	}})
	if diff := cmp.Diff(map[int]int{0: 1, 1: 1, 2: 1, 3: 1}, ends); diff != "" {
		t.Error(diff)
	}
}

func chain(t *testing.T, goOn bool, prompts ...string) []Outcome {
	t.Helper()
	var steps []Step
	var names []string
	for i, p := range prompts {
		name := fmt.Sprintf("s%d", i+1)
		template, err := ParseTemplate(p, names)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		steps = append(steps, Step{Name: name, Prompt: template, Turn: turn})
	}
	return Chain(t.Context(), &fake{}, steps, ChainOptions{GoOn: goOn})
}

func TestChain(t *testing.T) {
	tests := []struct {
		name    string
		goOn    bool
		prompts []string
		want    []string
	}{
		{"passes on", false, []string{"one", "<{{previous}}>", "{{ steps.s1.output }}+{{previous}}"}, []string{"one", "<one>", "one+<one>"}},
		{"plain text", false, []string{"a", `\{{previous}} {{ .Values }} {{}}`}, []string{"a", "{{previous}} {{ .Values }} {{}}"}},
		{"not looked at again", false, []string{`\{{previous}}`, "{{previous}}!"}, []string{"{{previous}}", "{{previous}}!"}},
		{"stops", false, []string{"fail a", "{{previous}}", "x"}, []string{"fail a ! failed", "skipped", "skipped"}},
		{"goes on", true, []string{"fail a", "after {{previous}}"}, []string{"fail a ! failed", "after fail a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, short(chain(t, test.goOn, test.prompts...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPanicsCostOneTurn(t *testing.T) {
	out := Parallel(t.Context(), &fake{}, turns("a", "panic", "b"), ParallelOptions{})
	if diff := cmp.Diff([]string{"a", " ! internal error", "b"}, short(out)); diff != "" {
		t.Error(diff)
	}
}

// TestPromptsThatGrow: outputs are not multiplied until the memory is gone.
func TestPromptsThatGrow(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	out := chain(t, true, big, strings.Repeat("{{previous}}", 100), "on")
	if out[1].Err == nil || out[1].Err.Code != engine.CodeTooLarge || out[2].Text != "on" {
		t.Errorf("%v, %q", out[1].Err, out[2].Text)
	}
}

func TestUnknownPlaceholders(t *testing.T) {
	for _, test := range []struct {
		text    string
		earlier []string
		want    string
	}{
		{"{{previous}}", nil, "no step before"},
		{"{{previuos}}", []string{"a"}, `did you mean "previous"`},
		{"{{steps.b.output}}", []string{"a", ""}, "there are: previous, steps.a.output"},
	} {
		if _, err := ParseTemplate(test.text, test.earlier); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}

func TestChainEndsWithTheRequest(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	out := Chain(ctx, &fake{}, []Step{{Turn: turn}}, ChainOptions{})
	if !out[0].Skipped {
		t.Errorf("%+v", out)
	}
}

// TestCancelledTurnsAreNotTried ends the first turn with its cancellation, as the engine
// does.
func TestCancelledTurnsAreNotTried(t *testing.T) {
	cancelled := make(chan struct{})
	three := func() []*engine.Turn {
		ts := turns("a", "b", "c")
		for _, t := range ts {
			t.Cancelled = cancelled
		}
		return ts
	}
	end := sync.OnceFunc(func() { close(cancelled) })
	observe := func(e Event) {
		if _, done := e.Event.(*engine.Completed); done {
			end()
		}
	}
	want := []string{"a", "skipped", "skipped"}
	if diff := cmp.Diff(want, short(Parallel(t.Context(), &fake{}, three(), ParallelOptions{Max: 1, Observe: observe}))); diff != "" {
		t.Error(diff)
	}
	cancelled = make(chan struct{})
	end = sync.OnceFunc(func() { close(cancelled) })
	var steps []Step
	for _, turn := range three() {
		steps = append(steps, Step{Turn: func(string) *engine.Turn { return turn }})
	}
	for _, goOn := range []bool{false, true} {
		out := Chain(t.Context(), &fake{}, steps, ChainOptions{GoOn: goOn, Observe: observe})
		if goOn {
			want[0] = "skipped" // the steps are cancelled by now
		}
		if diff := cmp.Diff(want, short(out)); diff != "" {
			t.Error(diff)
		}
		if out[2].Err.Message != "not tried because the request was cancelled" {
			t.Error(out[2].Err)
		}
	}
}

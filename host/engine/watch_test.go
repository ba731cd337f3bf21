package engine

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// follower notes what it is told, and refuses the end when it is told to.
type follower struct {
	name   string
	refuse error
	heard  *[]string
}

func (f follower) Event(ev Event) error {
	*f.heard = append(*f.heard, fmt.Sprintf("%s: %T", f.name, ev))
	if _, over := ev.(*Completed); over {
		return f.refuse
	}
	return nil
}

func (f follower) Failed(err *Error) { *f.heard = append(*f.heard, f.name+": "+err.Message) }

// TestWatchersHearTheEndOnce, in their order, and what the first of them makes of it.
func TestWatchersHearTheEndOnce(t *testing.T) {
	type next struct {
		ev  Event
		err error
	}
	full := Errorf(CodeInternal, "the disk is full")
	for _, tt := range []struct {
		name   string
		refuse error
		nexts  []next
		heard  []string
		end    error // of the last Next
	}{
		{"well", nil, []next{{ev: &UsageEvent{}}, {ev: &Completed{}}, {err: io.EOF}},
			[]string{"a: *engine.UsageEvent", "b: *engine.UsageEvent", "a: *engine.Completed", "b: *engine.Completed"}, io.EOF},
		{"badly", nil, []next{{err: Errorf(CodeTimeout, "late")}, {err: io.EOF}}, []string{"a: late", "b: late"}, io.EOF},
		{"not kept", full, []next{{ev: &Completed{}}, {err: io.EOF}}, []string{"a: *engine.Completed", "b: the disk is full"}, full},
		{"its client gone", nil, []next{{ev: &UsageEvent{}}}, []string{"a: *engine.UsageEvent", "b: *engine.UsageEvent", "a: gone", "b: gone"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w watch
			var heard []string
			w.add(nil, follower{"a", tt.refuse, &heard}, follower{"b", nil, &heard})
			var end error
			for _, n := range tt.nexts {
				_, end = w.see(n.ev, n.err)
			}
			w.gone(Errorf(CodeCanceled, "gone"))
			if diff := cmp.Diff(tt.heard, heard); diff != "" {
				t.Error(diff)
			}
			if end != tt.end {
				t.Errorf("it ends with %v", end)
			}
		})
	}
}

// TestAnEndThatIsNotKeptIsAFailure for all who are told of it.
func TestAnEndThatIsNotKeptIsAFailure(t *testing.T) {
	f := newFakes(t)
	f.add("b", nil, script(started(), delta("hello"), completed("")))
	var o outcomes
	var heard []string
	e := New(Config{Backends: f, Observe: o.observe})
	turn := &Turn{Model: "b", Messages: say("hi"), Watcher: follower{"keeper", Errorf(CodeInternal, "the disk is full"), &heard}}
	if _, err := run(t, e, turn); err == nil || err.Message != "the disk is full" {
		t.Errorf("err = %v", err)
	}
	records := e.Executions("", Filter{})
	if len(records) != 1 || records[0].State != StateFailed || records[0].Err.Message != "the disk is full" {
		t.Errorf("the register has %+v", records)
	}
	if len(o.all) != 1 || o.all[0].Err == nil || o.all[0].Err.Message != "the disk is full" {
		t.Errorf("observed: %+v", o.all)
	}
}

// TestObserverGetsTheContextOfTheRequest, by which it knows the dialect.
func TestObserverGetsTheContextOfTheRequest(t *testing.T) {
	type key struct{}
	f := newFakes(t)
	f.add("b", nil, script(started(), delta("hello"), completed("")))
	var got any
	e := New(Config{Backends: f, Observe: func(ctx context.Context, _ Outcome) { got = ctx.Value(key{}) }})
	x, err := e.Execute(context.WithValue(t.Context(), key{}, "mine"), &Turn{Model: "b", Messages: say("hi")})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := Collect(x); err != nil || got != "mine" {
		t.Errorf("%v, %v", got, err)
	}
}

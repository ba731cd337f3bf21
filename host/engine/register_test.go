package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// enlist adds an execution of an owner to a register.
func enlist(r *register, id, owner string) *entry {
	return r.add(Record{ID: id, Owner: owner, Backend: "b", Queued: time.Now()}, func(error) {})
}

func ids(records []Record) (out []string) {
	for _, r := range records {
		out = append(out, r.ID)
	}
	return out
}

// TestRegisterForgets shows that what is over is kept for a while, and not more than
// the bound of it, and that what goes on is kept however long that takes.
func TestRegisterForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRegister()
		enlist(r, "long", "o")
		_ = enlist(r, "early", "o").Event(&Completed{Reason: FinishStop})
		time.Sleep(keepPast / 2)
		_ = enlist(r, "late", "o").Event(&Completed{Reason: FinishStop})
		time.Sleep(keepPast/2 + time.Second)
		if diff := cmp.Diff([]string{"long", "late"}, ids(r.list("o", Filter{}))); diff != "" {
			t.Error(diff)
		}
		if r.find("o", "early") != nil || r.find("o", "late") == nil {
			t.Error("find does not agree with list")
		}
		for i := range maxPast + 5 {
			enlist(r, fmt.Sprintf("many%04d", i), "o").Failed(shuttingDown())
		}
		if n := len(r.list("o", Filter{State: StateFailed})); n != maxPast || r.find("o", "late") != nil || r.find("o", "long") == nil {
			t.Errorf("%d are kept", n)
		}
		if len(r.byID) != maxPast+1 || len(r.past) != maxPast {
			t.Errorf("%d and %d are kept", len(r.byID), len(r.past))
		}
	})
}

func TestRegisterFilters(t *testing.T) {
	r := newRegister()
	r.add(Record{ID: "1", Owner: "o", Backend: "a", RequestID: "r1", Session: "s"}, nil)
	_ = r.add(Record{ID: "2", Owner: "o", Backend: "b", RequestID: "r2"}, nil).Event(&Completed{Reason: FinishStop})
	r.add(Record{ID: "3", Owner: "o", Backend: "b", RequestID: "r1"}, nil).Failed(&Error{Code: CodeOverloaded})
	r.add(Record{ID: "4", Owner: "other", Backend: "b", RequestID: "r1"}, nil)
	for _, tt := range []struct {
		name  string
		owner string
		f     Filter
		want  []string
	}{
		{"all, the newest first", "o", Filter{}, []string{"3", "2", "1"}},
		{"of another owner", "other", Filter{}, []string{"4"}},
		{"of nobody", "", Filter{}, nil},
		{"by state", "o", Filter{State: StateFailed}, []string{"3"}},
		{"by backend", "o", Filter{Backend: "b"}, []string{"3", "2"}},
		{"by session", "o", Filter{Session: "s"}, []string{"1"}},
		{"by request", "o", Filter{RequestID: "r1"}, []string{"3", "1"}},
		{"few", "o", Filter{Limit: 1}, []string{"3"}},
		{"both", "o", Filter{State: StateQueued, Backend: "b"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, ids(r.list(tt.owner, tt.f))); diff != "" {
				t.Error(diff)
			}
		})
	}
	if r.find("other", "1") != nil || r.find("o", "1") == nil {
		t.Error("an execution is found by those whose it is not")
	}
}

// TestEntryKeepsNothing shows that what is over holds neither the turn nor long texts.
func TestEntryKeepsNothing(t *testing.T) {
	r := newRegister()
	long := strings.Repeat("x", 1<<20)
	e := r.add(Record{ID: "1", Model: long}, func(error) {})
	x := &Execution{begin: time.Now(), admitted: time.Now(), turn: &Turn{Messages: say(long)}}
	x.first.Store(int64(time.Second))
	if !e.admit(x) {
		t.Fatal("it is not admitted")
	}
	e.Failed(&Error{Code: CodeCLIFailure, Message: long, StderrTail: long, Err: errors.New(long)})
	got := e.snapshot()
	if e.x != nil || e.stop != nil || len(got.Model) > 2*maxName || len(got.Err.Message) > len(long)/10 || got.Err.StderrTail != "" || got.Err.Err != nil {
		t.Errorf("it keeps %+v", got.Err)
	}
	if got.FirstToken != x.begin.Add(time.Second) || got.State != StateFailed {
		t.Errorf("state %s, first token at %v", got.State, got.FirstToken)
	}
}

func TestEntryEnds(t *testing.T) {
	for _, tt := range []struct {
		name      string
		cancelled bool
		completed *Completed
		err       *Error
		want      State
	}{
		{"well", false, &Completed{Reason: FinishStop}, nil, StateCompleted},
		{"badly", false, nil, &Error{Code: CodeTimeout}, StateFailed},
		{"its client gone", false, nil, &Error{Code: CodeCanceled}, StateCancelled},
		{"interrupted", true, &Completed{Reason: FinishInterrupted}, nil, StateCancelled},
		{"interrupted by the backend", false, &Completed{Reason: FinishInterrupted}, nil, StateCompleted},
		{"before the interrupt came", true, &Completed{Reason: FinishStop}, nil, StateCompleted},
		{"badly after it", true, nil, &Error{Code: CodeCLIFailure}, StateFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := enlist(newRegister(), "1", "o")
			e.cancelled = tt.cancelled
			if tt.err != nil {
				e.Failed(tt.err)
			} else if err := e.Event(tt.completed); err != nil {
				t.Error(err)
			}
			if got := e.snapshot(); got.State != tt.want || (got.Err != nil) != (tt.err != nil) {
				t.Errorf("%+v", got)
			}
			<-e.done
		})
	}
}

// TestCancelBeforeItsPlace shows that a turn which is cancelled in the moment in which
// it gets its place does not run.
func TestCancelBeforeItsPlace(t *testing.T) {
	var stopped error
	e := newRegister().add(Record{ID: "1", Backend: "b"}, func(err error) { stopped = err })
	for range 2 {
		if !e.cancel(time.Hour) {
			t.Error("it is over")
		}
	}
	if e.admit(&Execution{}) || AsError(stopped).Code != CodeCanceled {
		t.Errorf("it is admitted; stopped with %v", stopped)
	}
}

// TestRegisterTakesAll lists while many come and go.
func TestRegisterTakesAll(t *testing.T) {
	r := newRegister()
	ctx, stop := context.WithCancel(t.Context())
	var all, readers sync.WaitGroup
	readers.Go(func() {
		for ctx.Err() == nil {
			for _, record := range r.list("o", Filter{}) {
				r.find("o", record.ID).cancel(time.Hour)
			}
		}
	})
	for worker := range 8 {
		all.Go(func() {
			for i := range 50 {
				e := enlist(r, fmt.Sprintf("%d-%02d", worker, i), "o")
				_ = e.Event(&UsageEvent{})
				_ = e.Event(&Completed{Reason: FinishStop})
			}
		})
	}
	all.Wait()
	stop()
	readers.Wait()
	if n := len(r.list("o", Filter{State: StateCompleted})); n != 400 {
		t.Errorf("%d of 400 are there", n)
	}
}

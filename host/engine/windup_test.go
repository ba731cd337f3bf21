package engine

import (
	"context"
	"testing"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// witness remembers the end of a turn.
type witness struct {
	text string
	end  chan Event // closed when the turn fails
}

func newWitness() *witness { return &witness{end: make(chan Event, 1)} }

func (w *witness) Event(ev Event) error {
	switch v := ev.(type) {
	case *TextDelta:
		w.text += v.Text
	case *Completed:
		w.end <- v
	}
	return nil
}

func (w *witness) Failed(*Error) { close(w.end) }

// TestClientGone: a turn in a session that the backend keeps ends properly when its
// client goes, whichever way that is noticed; all others are cut off.
func TestClientGone(t *testing.T) {
	keeps := &backendv1.Capabilities{
		Chat: &backendv1.ChatCapability{}, Agent: &backendv1.AgentCapability{},
		Sessions: &backendv1.SessionCapability{AgentOnly: true},
	}
	tests := []struct {
		name string
		mode Mode
		deaf bool
		ends bool
	}{
		{"kept", ModeAgent, false, true},
		{"takes no notice", ModeAgent, true, false},
		{"not kept", ModeChat, false, false},
	}
	for _, test := range tests {
		for _, closed := range []bool{false, true} {
			name := test.name + ", the request ends"
			if closed {
				name = test.name + ", the reader stops"
			}
			t.Run(name, func(t *testing.T) {
				f := newFakes(t)
				f.add("b", keeps, patient(test.deaf))
				e := New(Config{Backends: f})
				if test.deaf {
					e.cutWait = 20 * time.Millisecond
				}
				w := newWitness()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				x, err := e.Execute(ctx, &Turn{Model: "b", Mode: test.mode, Session: &Session{ID: "s"}, Messages: say("hi"), Watcher: w})
				if err != nil {
					t.Fatal(err)
				}
				for w.text == "" {
					if _, err := x.Next(); err != nil {
						t.Fatal(err)
					}
				}
				if closed {
					x.Close()
				}
				cancel()
				for !closed {
					if _, err := x.Next(); err != nil {
						break
					}
				}
				x.Close()
				end := <-w.end
				if c, ok := end.(*Completed); ok != test.ends || ok && c.Reason != FinishInterrupted {
					t.Errorf("the end is %+v", end)
				}
				if err := e.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				if r := e.Executions("", Filter{}); len(r) != 1 || r[0].State != StateCancelled {
					t.Errorf("it is listed as %+v", r)
				}
			})
		}
	}
}

// TestClosedWhileItIsRead: streams close an execution to end a Next that waits.
func TestClosedWhileItIsRead(t *testing.T) {
	f := newFakes(t)
	f.add("b", &backendv1.Capabilities{Chat: &backendv1.ChatCapability{}, Sessions: &backendv1.SessionCapability{}}, patient(false))
	w := newWitness()
	x, err := New(Config{Backends: f}).Execute(t.Context(), &Turn{Model: "b", Session: &Session{ID: "s"}, Messages: say("hi"), Watcher: w})
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(read)
		for {
			ev, err := x.Next()
			if _, text := ev.(*TextDelta); text {
				close(begun)
			}
			if err != nil {
				return
			}
		}
	}()
	<-begun
	x.Close()
	<-read
	if c, ok := (<-w.end).(*Completed); !ok || c.Reason != FinishInterrupted {
		t.Errorf("the end is %+v", c)
	}
}

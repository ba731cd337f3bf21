package chaos

import (
	"context"
	"sync"
	"time"
)

// pace is the pause of a client between two questions: the load shall leave the
// processors some time, since what is measured is faults and not speed.
const pace = 5 * time.Millisecond

// turns are the outcomes of one group of clients.
type turns struct {
	mu       sync.Mutex
	answered int
	others   []outcome // that were not answered
}

func (t *turns) add(o outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.kind == answered {
		t.answered++
		return
	}
	t.others = append(t.others, o)
}

func (t *turns) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.answered + len(t.others)
}

// group is clients that ask.
type group struct {
	turns
	asking sync.WaitGroup
}

// wait returns what came out, when all clients have ended.
func (g *group) wait() *turns {
	g.asking.Wait()
	return &g.turns
}

// load asks with so many clients, the n-th the n-th question and after the last the
// first again, until ctx ends. What ctx cut off does not count.
func (w *world) load(ctx context.Context, clients int, questions ...question) *group {
	g := &group{}
	for n := range clients {
		g.asking.Go(func() {
			timer := time.NewTimer(0)
			defer timer.Stop()
			for {
				select {
				case <-timer.C:
				case <-ctx.Done():
					return
				}
				o := w.ask(ctx, questions[n%len(questions)])
				if o.kind != answered && ctx.Err() != nil {
					return
				}
				g.add(o)
				timer.Reset(pace)
			}
		})
	}
	return g
}

// during finds the last fault that a turn was in flight at: one that began before
// the host knew that the process was gone, and ended after the fault.
func during(hits []hit, o outcome) (hit, bool) {
	for i := len(hits) - 1; i >= 0; i-- {
		if h := hits[i]; !o.begin.After(h.gone) && !o.end.Before(h.at) {
			return h, true
		}
	}
	return hit{}, false
}

// samples is how many failures a report quotes.
const samples = 3

// blame says who failed. A turn that was in flight at a fault may fail, with an
// error in the dialect's form; all others must be answered.
func (t *turns) blame(hits []hit) Turns {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Turns{Requests: t.answered + len(t.others), Answered: t.answered}
	for _, o := range t.others {
		_, hit := during(hits, o)
		switch {
		case o.kind == broken:
			r.Broken++
		case o.kind == wrong:
			r.Wrong++
		case hit:
			r.InFlight++
			continue
		default:
			r.Failed++
		}
		if len(r.Samples) < samples {
			r.Samples = append(r.Samples, o.text)
		}
	}
	return r
}

// errorsAfter tells how long after a kill the errors of its victims came.
func (t *turns) errorsAfter(hits []hit) []time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var took []time.Duration
	for _, o := range t.others {
		if h, ok := during(hits, o); ok && !h.stopped && !o.begin.After(h.at) {
			took = append(took, o.end.Sub(h.at))
		}
	}
	return took
}

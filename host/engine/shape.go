package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/clinvk/clinvk/host/engine/schema"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// shaper stands between the normalizer and the client where the host keeps what was
// asked for: first the limits, then the schema. Turns that need neither have none.
type shaper struct {
	honoured []string // fields that the backend sees to
	limit    *limiter // nil: no limit; a new one for each answer
	form     *former  // nil: free text
	out      []Event
	hurry    *time.Timer // ends a turn that goes on after the cut; nil: it was not cut
}

var errCutWait = errors.New("the backend went on after its answer was cut")

func (s *shaper) push(ev Event) { s.out = append(s.out, ev) }

func (s *shaper) pop() Event {
	if len(s.out) == 0 {
		s.out = nil
		return nil
	}
	ev := s.out[0]
	s.out[0] = nil
	s.out = s.out[1:]
	return ev
}

// next takes an event that is within the limits.
func (s *shaper) next(ev Event) {
	if s.form != nil {
		s.form.add(ev)
		return
	}
	s.push(ev)
}

// add takes an event of the backend in.
func (s *shaper) add(ev Event) {
	if s.limit != nil {
		s.limit.add(ev)
		return
	}
	s.next(ev)
}

// cut says that the client has all that it will see of the answer.
func (s *shaper) cut() bool { return s.limit != nil && s.limit.done != nil }

// shapeFor makes the execution keep what the backend does not; form is nil for free
// text. What the host keeps is told to the plugin too: it may save work by it.
func (x *Execution) shapeFor(caps *backendv1.Capabilities, form *schema.Schema) {
	if t := x.turn; form == nil && len(t.Sampling.Stop) == 0 && t.Sampling.MaxOutputTokens == nil && !t.SingleCall && t.ToolChoice.Kind != ToolChoiceNone {
		return
	}
	s := &shaper{honoured: honoured(caps, x.turn.Mode)}
	x.shape = s
	s.limit = x.limiter(s.honoured)
	if form != nil {
		output := caps.GetStructuredOutput()
		if output.GetChatOnly() && x.turn.Mode == ModeAgent {
			output = nil
		}
		if output != nil {
			fitting, ok := form.Fit(output)
			if x.turn.OutputSchema = fitting; !ok {
				output = nil
			}
		}
		s.form = newFormer(form, output.GetStrict() && !form.AnyObject(), s.push)
		if caps != nil && output == nil {
			if x.turn.System != "" {
				x.turn.System += "\n\n"
			}
			x.turn.System += form.Instruction()
			x.turn.OutputSchema = nil
		}
	}
	if s.limit == nil && s.form == nil {
		x.shape = nil
	}
}

func (x *Execution) limiter(honoured []string) *limiter {
	return limits(x.turn, honoured, x.shape.next)
}

// honoured are the sampling fields that a backend sees to in a mode.
func honoured(caps *backendv1.Capabilities, mode Mode) []string {
	if mode == ModeAgent {
		return caps.GetAgent().GetSampling()
	}
	return caps.GetChat().GetSampling()
}

// reshape takes in what the normalizer has; completed is the plugin's, if it has ended.
func (x *Execution) reshape(completed *backendv1.Completed) {
	s := x.shape
	x.drain()
	switch {
	case s.form != nil && s.form.text.Len() > maxAnswer:
		x.end(&Error{Code: CodeInvalidOutput, Backend: x.to.backend, Message: fmt.Sprintf(
			"the answer of backend %s is larger than %d MiB, too large to be checked against a schema", x.to.backend, maxAnswer>>20)})
		return
	case s.cut() && s.hurry == nil:
		x.diverge() // the plugin holds more than the client has seen
		if completed == nil && !s.limit.open {
			x.hurryUp()
		}
	}
	if completed == nil {
		return
	}
	if s.form != nil {
		x.conclude(s.form)
	} else {
		x.end(io.EOF)
	}
	if errors.Is(x.over, io.EOF) {
		x.remember(completed)
	}
}

// hurryUp asks for the end of a turn of which the client has seen enough, and makes
// one when it does not come.
func (x *Execution) hurryUp() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sendInterruptLocked()
	x.shape.hurry = time.AfterFunc(x.engine.cutWait, func() { x.cancel(errCutWait) })
	if x.closed {
		x.shape.hurry.Stop()
	}
}

// drain moves events on from the normalizer.
func (x *Execution) drain() {
	for ev := x.events.pop(); ev != nil; ev = x.events.pop() {
		x.keep(ev)
		x.shape.add(ev)
	}
}

// fail ends the turn with an error, unless its answer was cut before: then the client
// has all of it, and how the backend takes that does not matter.
func (x *Execution) fail(e *Error) {
	s := x.shape
	if s == nil {
		x.end(e)
		return
	}
	x.drain()
	if s.limit != nil {
		s.limit.end() // what was held back goes out, and may be where the answer ends
	}
	if cause := context.Cause(x.ctx); !s.cut() || s.limit.open || (cause != nil && !errors.Is(cause, errCutWait)) {
		if s.form != nil && s.form.repaired {
			e.Usage = totalUsage(s.form.spent, e.Usage)
		}
		x.end(e)
		return
	}
	usage := x.events.usage
	if e.Usage != nil {
		usage = *e.Usage
	}
	s.add(&Completed{Usage: s.limit.estimate(usage, x.turn)})
	if s.form != nil {
		x.conclude(s.form)
		return
	}
	x.end(io.EOF)
}

func totalUsage(spent Usage, last *Usage) *Usage {
	if last != nil {
		spent = addUsage(spent, *last)
	}
	return &spent
}

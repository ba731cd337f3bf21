package engine

import (
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/engine/cut"
)

// cutWait is how long a turn whose answer was cut may take to end properly, so that its
// usage is known. CLIs that can be interrupted take well under a second.
const cutWait = 5 * time.Second

// limiter ends an answer at a stop sequence, after a number of tokens or before a
// second call of the client's tools, for backends that do not. Calls of a model that
// was to make none are left out.
//
// Stop sequences are looked for in text, tokens counted in text and reasoning. The
// arguments of calls are neither: half a call is of no use. A stop sequence may reach
// over two blocks of text that follow each other; what stands between them otherwise,
// a call or reasoning, ends the search.
type limiter struct {
	stop       *cut.Stop   // nil: none
	tokens     *cut.Tokens // nil: no limit
	limit      int64
	singleCall bool
	noCalls    bool
	next       func(Event)

	kind     byte    // of the run of deltas that is being read; 0: none
	unsought []Event // deltas that may be part of a stop sequence
	uncut    []Event // deltas that may be beyond the limit
	calls    int     // of the client's tools that have begun
	open     bool    // one of them is not done
	bytes    int     // text and reasoning that went on
	done     *Completed
}

// limits says what of a turn the host must keep by itself, as the backend honours only
// these fields; nil: nothing.
func limits(t *Turn, honoured []string, next func(Event)) *limiter {
	l := &limiter{singleCall: t.SingleCall && len(t.Tools) > 0, noCalls: t.ToolChoice.Kind == ToolChoiceNone && len(t.Tools) > 0, next: next}
	if slices.ContainsFunc(t.Sampling.Stop, func(s string) bool { return s != "" }) && !slices.Contains(honoured, FieldStop) {
		l.stop = cut.NewStop(t.Sampling.Stop)
	}
	if n := t.Sampling.MaxOutputTokens; n != nil && !slices.Contains(honoured, FieldMaxOutputTokens) {
		const most = 1 << 30 // the same as no limit
		l.limit = min(max(0, *n), most)
		l.tokens = cut.NewTokens(int(l.limit))
	}
	if l.stop == nil && l.tokens == nil && !l.singleCall && !l.noCalls {
		return nil
	}
	return l
}

// add takes an event in. After the cut only usage and the rest of a call that the
// client knows of go on; Completed says why it was.
func (l *limiter) add(ev Event) {
	switch v := ev.(type) {
	case *TextDelta:
		l.delta('t', ev)
	case *ReasoningDelta:
		l.reasoning(v)
	case *ToolCallStarted:
		l.begin(v)
	case *ToolCallDelta:
		l.call(ev, v.Client)
	case *ToolCallDone:
		l.call(ev, v.Client)
		l.open = l.open && !v.Client
	case *ToolResultEvent:
		l.end()
		l.call(ev, false)
	case *Completed:
		l.end()
		switch {
		case l.done != nil:
			v.Reason, v.StopSequence = l.done.Reason, l.done.StopSequence
		case l.noCalls && v.Reason == FinishToolCalls:
			v.Reason = FinishStop
		}
		l.next(v)
	case *UsageEvent:
		l.next(ev)
	default:
		l.call(ev, false)
	}
}

// call lets an event on before the cut, and one of an open call also after it.
func (l *limiter) call(ev Event, client bool) {
	if client && l.noCalls {
		return
	}
	if l.done == nil || (client && l.open) {
		l.next(ev)
	}
}

func (l *limiter) begin(v *ToolCallStarted) {
	l.end()
	if v.Client && l.noCalls {
		return
	}
	if v.Client && l.singleCall && l.calls > 0 {
		l.cut(&Completed{Reason: FinishToolCalls})
	}
	if l.done == nil {
		if v.Client {
			l.calls, l.open = l.calls+1, true
		}
		l.next(v)
	}
}

func (l *limiter) reasoning(v *ReasoningDelta) {
	if v.Redacted { // there is nothing to count
		l.end()
		l.call(v, false)
		return
	}
	l.delta('r', v)
	if len(v.Signature) > 0 { // it ends the block
		l.end()
	}
}

// delta takes a piece of text or reasoning in.
func (l *limiter) delta(kind byte, ev Event) {
	if l.kind != kind {
		l.end()
		l.kind = kind
	}
	if l.done != nil {
		return
	}
	if kind != 't' || l.stop == nil {
		l.count(ev)
		return
	}
	l.unsought = append(l.unsought, ev)
	l.sought(l.stop.Add(textOf(ev)))
}

// sought sends what holds no stop sequence on to be counted.
func (l *limiter) sought(release int, match string) {
	var free []Event
	free, l.unsought = split(l.unsought, release)
	for _, ev := range free {
		l.count(ev)
	}
	if match != "" {
		l.settle()
		l.cut(&Completed{Reason: FinishStopSequence, StopSequence: match})
	}
}

// count sends what is within the limit on.
func (l *limiter) count(ev Event) {
	switch {
	case l.done != nil:
	case l.tokens == nil:
		l.pass(ev)
	default:
		l.uncut = append(l.uncut, ev)
		l.counted(l.tokens.Add(textOf(ev)))
	}
}

func (l *limiter) counted(release int, full bool) {
	var free []Event
	free, l.uncut = split(l.uncut, release)
	for _, ev := range free {
		l.pass(ev)
	}
	if full {
		l.cut(&Completed{Reason: FinishLength})
	}
}

func (l *limiter) pass(ev Event) {
	l.bytes += len(textOf(ev))
	l.next(ev)
}

// end ends a run of deltas: nothing is held back any more.
func (l *limiter) end() {
	if l.kind == 't' && l.stop != nil && l.done == nil {
		l.sought(l.stop.End())
	}
	l.settle()
	l.kind = 0
}

// settle counts what was not yet.
func (l *limiter) settle() {
	if l.tokens != nil && l.done == nil {
		l.counted(l.tokens.End())
	}
}

// cut ends the answer; the first reason counts.
func (l *limiter) cut(why *Completed) {
	if l.done == nil {
		l.done, l.unsought, l.uncut = why, nil, nil
	}
}

// estimate makes up for the usage of a turn that did not end properly.
func (l *limiter) estimate(u Usage, t *Turn) Usage {
	u.Estimated = true
	if u.OutputTokens == nil && l.done.Reason == FinishLength {
		u.OutputTokens = &l.limit
	}
	return u.orEstimate(t, l.bytes)
}

// textOf is the text of a delta.
func textOf(ev Event) string {
	switch v := ev.(type) {
	case *TextDelta:
		return v.Text
	case *ReasoningDelta:
		return v.Text
	}
	return ""
}

// split takes the first n bytes off deltas. A delta that is whole stays the same one,
// with its signature.
func split(deltas []Event, n int) (head, tail []Event) {
	for i, ev := range deltas {
		text := textOf(ev)
		if len(text) <= n {
			n -= len(text)
			continue
		}
		head, tail = deltas[:i:i], deltas[i:]
		if n == 0 {
			return head, tail
		}
		switch v := ev.(type) {
		case *TextDelta:
			head = append(head, &TextDelta{Block: v.Block, Text: text[:n]})
			v.Text = text[n:]
		case *ReasoningDelta:
			head = append(head, &ReasoningDelta{Block: v.Block, Text: text[:n]})
			v.Text = text[n:]
		}
		return head, tail
	}
	return deltas, nil
}

package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine/clip"
	"github.com/clinvk/clinvk/host/engine/schema"
)

// compileSchema reads the schema that a client sent.
func compileSchema(source json.RawMessage) (*schema.Schema, error) {
	s, err := schema.Compile(source)
	if err != nil {
		e := Errorf(CodeInvalidRequest, "the JSON schema is not valid: %s", clip.Text(err.Error()))
		e.Param, e.Err = "response_format", err
		return nil, e
	}
	return s, nil
}

// former holds an answer to a schema. Where the provider enforces it the text passes as
// it comes and is checked at its end. Otherwise it is held back until it is known to
// match, so that an answer that does not can be asked for again and still be an error
// with a status.
type former struct {
	schema *schema.Schema
	strict bool
	next   func(Event)

	text     strings.Builder
	final    int  // where the text after the backend's last tool begins
	through  bool // the answer ends in calls of the client's tools: nothing is checked
	started  bool
	in, out  int // the block that is being read, and its number for the client
	done     *Completed
	repaired bool
	spent    Usage // on the answer that did not match
}

func newFormer(s *schema.Schema, strict bool, next func(Event)) *former {
	return &former{schema: s, strict: strict, next: next, in: -1, out: -1}
}

// add takes an event in; Completed is kept in done.
func (f *former) add(ev Event) {
	switch v := ev.(type) {
	case *Started:
		if f.started {
			return // that of the second answer
		}
		f.started = true
	case *TextDelta:
		f.text.WriteString(v.Text)
		if !f.strict && !f.through {
			return
		}
		v.Block = f.number(v.Block)
	case *ReasoningDelta:
		v.Block = f.number(v.Block)
	case *ToolCallStarted:
		if v.Client {
			f.release()
		} else {
			f.final = f.text.Len()
		}
		v.Block = f.number(v.Block)
	case *UsageEvent:
		v.Usage = addUsage(f.spent, v.Usage)
	case *Completed:
		v.Usage = addUsage(f.spent, v.Usage)
		f.done = v
		return
	}
	f.next(ev)
}

// number gives blocks new numbers, as text that is held back comes later.
func (f *former) number(block int) int {
	if block != f.in {
		f.in = block
		f.out++
	}
	return f.out
}

// release lets held text go as it is, and what follows with it.
func (f *former) release() {
	if !f.strict && !f.through {
		f.say(f.text.String())
	}
	f.through = true
}

// say sends text as a block of its own.
func (f *former) say(text string) {
	if text == "" {
		return
	}
	f.in = -1
	f.out++
	for text != "" {
		var first string
		first, text = piece(text)
		f.next(&TextDelta{Block: f.out, Text: first})
	}
}

// answer is the text to check.
func (f *former) answer() string {
	if f.strict {
		return f.text.String()
	}
	return schema.Bare(f.text.String()[f.final:])
}

// again makes ready for the second answer.
func (f *former) again() {
	f.repaired, f.spent = true, f.done.Usage
	f.text.Reset()
	f.final, f.in, f.done = 0, -1, nil
}

// conclude ends the turn, or begins the second answer.
func (x *Execution) conclude(f *former) {
	// An answer that ended early is delivered as it is, as providers do.
	if f.done.Reason != FinishStop || f.through || x.wasInterrupted() {
		f.release()
		f.next(f.done)
		x.end(io.EOF)
		return
	}
	answer := f.answer()
	violation := f.schema.Check(answer)
	switch {
	case violation == nil:
		if !f.strict {
			if answer != f.text.String() {
				x.diverge()
			}
			f.say(answer)
		}
		f.next(f.done)
		x.end(io.EOF)
	case f.strict || f.repaired:
		x.end(x.invalidOutput(f, violation))
	default:
		if err := x.repair(f, violation); err != nil {
			x.fail(AsError(err))
		}
	}
}

func (x *Execution) invalidOutput(f *former, violation error) *Error {
	e := &Error{Code: CodeInvalidOutput, Backend: x.to.backend, Err: violation, Usage: &f.done.Usage}
	e.Message = clip.Text(fmt.Sprintf("the answer of backend %s does not match the JSON schema: %v", x.to.backend, violation))
	return e
}

// repair asks the same backend again, with the wrong answer and what is wrong with it.
// It is part of the same turn: its place, its time and its end are the turn's.
func (x *Execution) repair(f *former, violation error) error {
	turn := *x.turn
	wrong := f.text.String()
	if strings.TrimSpace(wrong) == "" {
		wrong = "(nothing)" // providers refuse empty messages
	}
	turn.Messages = append(turn.Messages[:len(turn.Messages):len(turn.Messages)],
		Message{Role: RoleAssistant, Parts: []Part{Text(wrong)}},
		Message{Role: RoleUser, Parts: []Part{Text(schema.Complaint(violation))}})
	turn.NoLive, turn.Session = true, nil // the client will never have this history
	x.diverged = true
	if turn.Timeout > 0 {
		turn.Timeout -= time.Since(x.admitted)
		if turn.Timeout <= 0 {
			return &Error{Code: CodeTimeout, Backend: x.to.backend, Usage: &f.done.Usage,
				Message: "the turn took longer than its limit"}
		}
	}
	f.again()
	x.turn = &turn
	x.shape.limit = x.limiter(x.shape.honoured)
	x.hangUp()
	x.events = normalizer{}
	return x.open()
}

// addUsage sums two answers up; what is known of one only is that one's.
func addUsage(a, b Usage) Usage {
	sum := func(a, b *int64) *int64 {
		if a == nil || b == nil {
			if a == nil {
				return b
			}
			return a
		}
		n := *a + *b
		return &n
	}
	return Usage{
		InputTokens: sum(a.InputTokens, b.InputTokens), OutputTokens: sum(a.OutputTokens, b.OutputTokens),
		CacheReadTokens: sum(a.CacheReadTokens, b.CacheReadTokens), CacheWriteTokens: sum(a.CacheWriteTokens, b.CacheWriteTokens),
		ReasoningTokens: sum(a.ReasoningTokens, b.ReasoningTokens), CostMicroUSD: sum(a.CostMicroUSD, b.CostMicroUSD),
		Estimated: a.Estimated || b.Estimated,
	}
}

package engine

import "strings"

// Answer is a whole turn that worked.
type Answer struct {
	// Parts are Text, Reasoning and the client's ToolCalls, in order.
	Parts []Part
	// Notices are lines for people, the first hundred of them.
	Notices []string
	Completed
}

// Text is the text of the answer.
func (a *Answer) Text() string {
	var b strings.Builder
	for _, p := range a.Parts {
		if t, ok := p.(Text); ok {
			b.WriteString(string(t))
		}
	}
	return b.String()
}

// AnswerBuilder puts the parts of an answer together. The zero value is ready; one
// goroutine uses it.
type AnswerBuilder struct {
	done  []Part
	text  strings.Builder
	open  *Reasoning // the reasoning block that is being read
	kind  byte
	block int
	size  int
}

// Add takes an event in; false: the answer is larger than 4 MiB, too large to be kept.
func (b *AnswerBuilder) Add(ev Event) bool {
	switch v := ev.(type) {
	case *TextDelta:
		b.begin('t', v.Block)
		b.size += len(v.Text)
		b.text.WriteString(v.Text)
	case *ReasoningDelta:
		b.begin('r', v.Block)
		b.size += len(v.Text) + len(v.Signature)
		b.text.WriteString(v.Text)
		b.open.Signature = append(b.open.Signature, v.Signature...)
		b.open.Redacted = b.open.Redacted || v.Redacted
	case *ToolCallDone:
		if v.Client {
			b.flush()
			b.size += Size(v)
			b.done = append(b.done, v.ToolCall)
		}
	}
	return b.size <= maxAnswer
}

func (b *AnswerBuilder) begin(kind byte, block int) {
	if b.kind == kind && b.block == block {
		return
	}
	b.flush()
	b.kind, b.block = kind, block
	b.size += partSize
	if kind == 'r' {
		b.open = &Reasoning{}
	}
}

func (b *AnswerBuilder) flush() {
	switch b.kind {
	case 't':
		b.done = append(b.done, Text(b.text.String()))
	case 'r':
		b.open.Text = b.text.String()
		b.done = append(b.done, *b.open)
	}
	b.kind, b.open = 0, nil
	b.text.Reset()
}

// Parts are what there is so far.
func (b *AnswerBuilder) Parts() []Part {
	b.flush()
	return b.done
}

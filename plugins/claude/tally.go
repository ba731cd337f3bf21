package main

import (
	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// tally adds up the usage of a turn's requests, each as the API reported it last.
type tally struct {
	before  plugins.Usage // of the requests that are over
	current wire.Usage
}

// begin starts counting a request.
func (t *tally) begin(u *wire.Usage) {
	t.before = t.total()
	t.current = wire.Usage{}
	t.update(u)
}

// update takes in a report, which is cumulative for its request.
func (t *tally) update(u *wire.Usage) {
	if u == nil {
		return
	}
	replace(&t.current.Input, u.Input)
	replace(&t.current.CacheWrite, u.CacheWrite)
	replace(&t.current.CacheRead, u.CacheRead)
	replace(&t.current.Output, u.Output)
	if u.Details != nil {
		t.current.Details = u.Details
	}
}

// again forgets a request that is made once more.
func (t *tally) again() { t.current = wire.Usage{} }

func replace(to **int64, from *int64) {
	if from != nil {
		*to = from
	}
}

// total is the usage of the turn so far. The API counts cached input apart; here
// it is part of the input.
func (t *tally) total() plugins.Usage {
	c := t.current
	u := t.before
	u.InputTokens = add(u.InputTokens, add(c.Input, add(c.CacheRead, c.CacheWrite)))
	u.OutputTokens = add(u.OutputTokens, c.Output)
	u.CacheReadTokens = add(u.CacheReadTokens, c.CacheRead)
	u.CacheWriteTokens = add(u.CacheWriteTokens, c.CacheWrite)
	if c.Details != nil {
		u.ReasoningTokens = add(u.ReasoningTokens, c.Details.Thinking)
	}
	return u
}

// add adds numbers that may be unknown.
func add(a, b *int64) *int64 {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	sum := *a + *b
	return &sum
}

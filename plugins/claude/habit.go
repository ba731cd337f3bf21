package main

import (
	"context"
	"sync"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// A CLI takes a system prompt once, before the first message, and needs 15 to 40
// ms of the caller's time for it. Most programs send the same one every time, so
// one of the spares is told the last one in advance. It is used for exactly that
// system prompt and nothing else; the other spares know none.

// habit is what conversations have lately begun with.
type habit struct {
	mu     sync.Mutex
	system string
	streak int
}

// settled is how many conversations in a row must have begun alike.
const settled = 2

// note takes in the system prompt of a new conversation.
func (h *habit) note(system string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streak == 0 || h.system != system {
		h.system, h.streak = system, 0
	}
	h.streak++
}

// next is the system prompt that the next conversation will probably begin with.
func (h *habit) next() (system string, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.system, h.streak >= settled
}

// anticipate tells a new spare the usual system prompt, when there are others that
// know none and no other that knows it.
func (b *backend) anticipate(ctx context.Context, p *process) error {
	system, ok := b.habit.next()
	if !ok || b.pool.Idle() == 0 || !b.introduced.CompareAndSwap(false, true) {
		return nil
	}
	p.system = &system
	_, err := p.ask(ctx, wire.Initialize{Title: title, System: []string{system}})
	return err
}

// forget has the next spare be told a system prompt again.
func (b *backend) forget(p *process) {
	if p.system != nil {
		b.introduced.Store(false)
	}
}

// take returns a spare for a turn: one that was told the turn's system prompt, or
// else one that knows none.
func (b *backend) take(ctx context.Context, turn *plugins.Turn) (*process, error) {
	b.habit.note(turn.System)
	for {
		p, err := b.pool.TakeBest(ctx, func(p *process) int {
			switch {
			case p.system == nil:
				return 0
			case *p.system == turn.System:
				return 1
			}
			return -1
		})
		if err != nil {
			return nil, err
		}
		b.forget(p)
		if p.system == nil || *p.system == turn.System {
			return p, nil
		}
		b.wg.Go(p.stop) // a new one that was told something else
	}
}

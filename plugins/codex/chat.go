package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// executeChat runs a turn in a thread that holds this conversation alone.
func (b *backend) executeChat(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	items, err := conversationItems(turn.System, turn.Messages)
	if err != nil {
		return err
	}
	tools, err := newClientTools(turn)
	if err != nil {
		return err
	}
	try := 1
	if turn.Live != nil && len(turn.Live.Token) > 0 {
		if c := b.live.take(string(turn.Live.Token)); c != nil {
			again, err := b.continueChat(ctx, job{turn: turn, out: out, provider: c.provider, try: 1, tools: tools}, c)
			if !again {
				return err
			}
			if err != nil {
				try++
			}
		}
	}
	j := job{turn: turn, out: out, items: items, provider: b.provider(), try: try, tools: tools}
	return tries(j, func(j job) (bool, error) { return b.freshChat(ctx, j) })
}

// continueChat runs a turn in the thread that already holds the conversation.
// again says that nothing was done and a fresh thread is needed.
func (b *backend) continueChat(ctx context.Context, j job, c *conversation) (again bool, err error) {
	held := j.turn.Live.Held
	if c.held != held || held >= len(j.turn.Messages) || c.instance.dead() {
		c.end()
		return true, nil
	}
	if j.items, err = conversationItems("", j.turn.Messages[held:]); err != nil {
		c.end()
		return false, err
	}
	r := j.run(c.instance.client, c.thread)
	r.live, r.before, r.used = true, c.used, c.used
	return b.runChat(ctx, r, c, j)
}

// freshChat runs a turn in a fresh thread.
func (b *backend) freshChat(ctx context.Context, j job) (again bool, err error) {
	i, err := b.chat.get(ctx)
	if err != nil {
		return false, startFailure(ctx, err)
	}
	k := kind{cmp.Or(j.turn.Model, b.defaultModel()), j.provider}
	var th thread
	if len(j.tools.params) > 0 {
		th, err = i.threads.withTools(ctx, k, j.tools.params)
	} else {
		th, err = i.threads.take(ctx, k)
	}
	if err != nil {
		gone := errors.Is(err, appserver.ErrGone)
		if ctx.Err() == nil {
			err = rpcFailure(i.client, err)
		}
		if gone {
			b.chat.retire(i)
		}
		b.chat.put(i)
		return gone, err
	}
	c := &conversation{instance: i, thread: th, provider: j.provider}
	c.end = func() {
		i.threads.drop(th)
		b.chat.put(i)
	}
	return b.runChat(ctx, j.run(i.client, th), c, j)
}

// runChat runs a turn, and keeps the conversation or ends it.
func (b *backend) runChat(ctx context.Context, r *run, c *conversation, j job) (again bool, err error) {
	if b.isLite(r.thread.model) {
		j.items = withNamespace(j.items)
	}
	err = b.do(ctx, b.chat, c.instance, r, j)
	finish := plugins.Finish{Reason: r.finish, Model: r.thread.model}
	if err == nil && r.finish == 0 && r.turn.Live != nil && len(r.sent) > 0 {
		c.held, c.used = len(r.turn.Messages)+1, r.used
		finish.LiveToken = b.live.keep(c)
	} else {
		c.end()
	}
	if err == nil {
		r.out.Finish(finish)
		return false, r.begin()
	}
	if errors.Is(err, errWaiting) && r.out.Answered() {
		err = r.waitedFailure()
	}
	return r.repeatable(err), err
}

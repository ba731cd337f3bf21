package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// title keeps the CLI from asking the model for one.
const title = "clinvk"

// interruptGrace is how long the CLI may take to end an interrupted turn, which
// takes 10 to 250 ms.
const interruptGrace = 1500 * time.Millisecond

var errClosing = &plugins.Error{Code: plugins.CodeCLIFailure, Message: "the backend is shutting down", Retryable: true}

// Execute runs one turn: in the process that already holds the conversation, in
// a spare, or in agent mode in a process of its own.
func (b *backend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	if err := check(turn); err != nil {
		return err
	}
	turn = turn.AskForObject()
	b.wg.Add(1)
	defer b.wg.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(errClosing) })()

	held := 0
	p := b.continued(turn)
	if p != nil {
		held = turn.Live.Held
	}
	begun := func() {}
	if p != nil || b.pool.Idle() > 0 {
		begun = b.calm.enter()
	}
	defer begun()
	for attempt := 0; ; attempt++ {
		if p == nil {
			var err error
			p, err = b.acquire(ctx, turn)
			if errors.Is(err, errGone) && attempt <= b.spares && turn.Mode == plugins.ModeChat {
				continue // it died while it was being started
			}
			if err != nil {
				return err
			}
		}
		signer := "claude"
		if reasoned(turn.Messages[held:]) || turn.Sampling.TopP != nil {
			signer = b.signer(ctx, turn)
		}
		a := newAnswer(turn, out, p, held, signer)
		a.begun = begun
		err := b.answer(ctx, a)
		if a.underway || attempt > b.spares || !errors.Is(err, errGone) {
			return err
		}
		p, held = nil, 0 // it died while it waited: another one gets the whole conversation
	}
}

// continued returns the process that holds the conversation so far, or nil.
func (b *backend) continued(turn *plugins.Turn) *process {
	l := turn.Live
	if l == nil || len(l.Token) == 0 || turn.Mode != plugins.ModeChat || l.Held < 1 || l.Held >= len(turn.Messages) {
		return nil
	}
	p, _ := b.live.take(l.Token, l.Held)
	return p
}

// acquire returns a process that holds nothing.
func (b *backend) acquire(ctx context.Context, turn *plugins.Turn) (*process, error) {
	if turn.Mode == plugins.ModeAgent {
		l, err := b.agentLaunch(turn)
		if err != nil {
			return nil, err
		}
		return b.start(ctx, l)
	}
	if len(turn.ExtraArguments) > 0 {
		return nil, plugins.Errorf(plugins.CodeInvalidRequest, "flags for the CLI may be set in agent mode only")
	}
	p, err := b.take(ctx, turn)
	if errors.Is(err, subprocess.ErrPoolClosed) {
		return nil, errClosing
	}
	return p, err
}

// answer runs a turn in its process, which it then keeps or ends.
func (b *backend) answer(ctx context.Context, a *answer) error {
	// A write to a process that does not read is freed by its end.
	unhook := context.AfterFunc(ctx, a.p.abort)
	err := a.run(ctx)
	unhook()
	if ctx.Err() != nil {
		a.p.abort()
		return context.Cause(ctx)
	}
	if errors.Is(err, errGone) && a.interrupted.Load() {
		err = a.finishInterrupted() // it did not end the turn in time and was ended itself
	}
	if err != nil {
		err = a.p.failure(err)
		b.wg.Go(a.p.abort)
		return b.noted(err)
	}
	switch {
	case !a.clean:
		b.wg.Go(a.p.abort) // it goes on with what nobody wants
	case a.turn.Live != nil && a.turn.Mode == plugins.ModeChat:
		a.finish.LiveToken = b.live.keep(a.p, len(a.turn.Messages)+1)
	default:
		b.end(a.p)
	}
	a.out.Finish(a.finish)
	return nil
}

// noted has Health ask again when the CLI says that it has no login.
func (b *backend) noted(err error) error {
	if e, ok := errors.AsType[*plugins.Error](err); ok && e.Code == plugins.CodeUnauthenticated {
		b.loggedOut()
	}
	return err
}

func protocolError(format string, args ...any) error {
	return &plugins.Error{Code: plugins.CodeCLIFailure, Message: "Claude Code broke its protocol: " + fmt.Sprintf(format, args...)}
}

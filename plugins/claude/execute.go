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

	p := b.continued(turn)
	live, anew := p != nil, false
	begun := func() {}
	if p != nil || b.pool.Idle() > 0 {
		begun = b.calm.enter()
	}
	defer begun()
	for attempt := 0; ; attempt++ {
		if p == nil {
			var err error
			p, err = b.acquire(ctx, turn, anew)
			if errors.Is(err, errGone) && attempt <= b.spares && turn.Mode == plugins.ModeChat {
				continue // it died while it was being started
			}
			if err != nil {
				return err
			}
		}
		a := newAnswer(turn, out, p, live, b.signerOf(ctx, turn, turn.Messages[p.held:]))
		a.begun = begun
		err := b.answer(ctx, a)
		vain := errors.Is(err, errGone) && !a.underway || errors.Is(err, errLost)
		if !vain || attempt > b.spares {
			return err
		}
		// It died while it waited, or could not open its session: another one gets the
		// whole conversation, or the session that the live one has left.
		p, live, anew = nil, false, !live
	}
}

// signerOf is the model that a turn asks, as far as these messages make it matter.
func (b *backend) signerOf(ctx context.Context, turn *plugins.Turn, messages []plugins.Message) string {
	if reasoned(messages) || turn.Sampling.TopP != nil {
		return b.signer(ctx, turn)
	}
	return "claude"
}

// continued returns the process that holds the conversation so far, or nil.
func (b *backend) continued(turn *plugins.Turn) *process {
	l := turn.Live
	if l == nil || len(l.Token) == 0 || !goesOn(turn, l.Held) {
		return nil
	}
	session := ""
	if turn.Mode == plugins.ModeAgent {
		s := turn.Session
		if s == nil || s.Action == plugins.SessionFork {
			return nil
		}
		if name, ok := parseSession(s.Token); ok {
			session = name.id
		}
	}
	p, _ := b.live.take(l.Token, l.Held)
	if p != nil && p.session != session { // it is another conversation's
		b.end(p)
		return nil
	}
	return p
}

// goesOn says that a turn has something to say to who holds that many of its messages.
func goesOn(turn *plugins.Turn, held int) bool {
	return held > 0 && held < len(turn.Messages) && len(told(turn.Messages[held:], "")) > 0
}

// acquire returns a process that holds nothing but the turn's session; anew: not even
// that.
func (b *backend) acquire(ctx context.Context, turn *plugins.Turn, anew bool) (*process, error) {
	if s := turn.Session; s != nil {
		if name, ok := parseSession(s.Token); ok {
			free := b.settle(ctx, name.id)
			if free && s.Action == plugins.SessionResume {
				if free = b.writers.claim(name.id); free {
					defer b.writers.remove(name.id, nil) // unless the process has it then
				}
			}
			anew = anew || !free
		}
	}
	l, err := b.launchOf(turn, anew)
	if err != nil {
		return nil, err
	}
	if len(l.history) > 0 {
		if l.seed, err = seed(l.history, b.signerOf(ctx, turn, l.history)); err != nil {
			return nil, err
		}
	}
	if turn.Mode == plugins.ModeAgent {
		return b.start(ctx, l)
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
		b.abandon(a.p)
		return context.Cause(ctx)
	}
	if errors.Is(err, errGone) && a.interrupted.Load() {
		err = a.finishInterrupted() // it did not end the turn in time and was ended itself
	}
	if err != nil {
		err = a.p.failure(err)
		b.wg.Go(func() { b.abandon(a.p) })
		return b.noted(err)
	}
	b.leave(a)
	a.out.Finish(a.finish)
	return nil
}

// leave keeps the process of a turn that has ended well, or ends it.
func (b *backend) leave(a *answer) {
	session := a.p.session != "" && a.settled && uuidForm.MatchString(a.last)
	if session {
		a.finish.SessionToken = sessionName{id: a.p.session, message: a.last}.token()
		a.p.begun = false
	}
	switch {
	case a.clean && a.turn.Live != nil && (session || a.turn.Mode == plugins.ModeChat):
		a.p.held = len(a.turn.Messages) + 1
		a.finish.LiveToken = b.live.keep(a.p)
	case a.clean || session:
		b.end(a.p) // in order: it writes its session to the end
	default:
		b.wg.Go(func() { b.abandon(a.p) }) // it goes on with what nobody wants
	}
}

// abandon ends a process, and the session that it has begun: no token names that.
func (b *backend) abandon(p *process) {
	p.abort()
	if !p.begun {
		return
	}
	if err := b.removeSession(p.session); err != nil {
		plugins.Logger().Warn("the session of a turn that failed stays", "error", err.Error())
	}
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

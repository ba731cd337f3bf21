package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/clinvk/clinvk/host/client"
)

// shownTurns of a session are shown before it goes on.
const shownTurns = 3

// conversation is a session that goes on at the terminal.
type conversation struct {
	resumeOptions
	streams
	connection *connection
	session    string
	said       []string // by the user, for the history of the line
}

// converse asks for prompts until the user ends the input. Ctrl-C ends the turn that
// runs, not the conversation; SIGTERM ends both.
func (o resumeOptions) converse(ctx context.Context, first string, s streams) (err error) {
	c, session, err := o.connectTo(ctx, s, o.chooser(s))
	if err != nil {
		return err
	}
	defer closing(c, &err)
	// The process's own context ends with the first Ctrl-C.
	ctx, stop := signal.NotifyContext(context.WithoutCancel(ctx), syscall.SIGTERM)
	defer stop()
	talk := &conversation{resumeOptions: o, streams: s, connection: c, session: session.ID}
	if err := talk.recall(ctx); err != nil {
		return err
	}
	if first != "" {
		if err := talk.turn(ctx, first); err != nil {
			return err
		}
	}
	if err := talk.loop(ctx); err != nil {
		return err
	}
	return terminalOf(s.err).tell(talk.session)
}

// recall shows how the session ended, so that the user knows what it was about.
func (t *conversation) recall(ctx context.Context) error {
	session, err := findSession(ctx, t.connection.Client, t.session)
	if err != nil {
		return err
	}
	for _, turn := range session.Transcript {
		for _, m := range turn.User {
			for _, f := range m.Content {
				if text := strings.TrimSpace(f.Text); f.Type == "text" && text != "" {
					t.said = append(t.said, text)
				}
			}
		}
	}
	note, turns := terminalOf(t.err), session.Transcript
	if more := len(turns) - shownTurns; more > 0 {
		if _, err := fmt.Fprintln(note, note.dim(fmt.Sprintf("%s: %d earlier turns (clinvk sessions show %s)", printable(session.Title), more, session.short()))); err != nil {
			return err
		}
		turns = turns[more:]
	}
	if err := note.transcript(turns); err != nil {
		return err
	}
	_, err = fmt.Fprintln(note, "\n"+note.dim("Ctrl-D ends the conversation, Ctrl-C an answer."))
	return err
}

// loop runs turns until the input ends.
func (t *conversation) loop(ctx context.Context) error {
	for {
		prompt, err := readLine(ctx, t.streams, t.said)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if prompt = strings.TrimSpace(prompt); prompt == "" {
			continue
		}
		t.said = append(t.said, prompt)
		if err := t.turn(ctx, prompt); err != nil {
			return err
		}
	}
}

// turn runs one. It fails only with what ends the conversation.
func (t *conversation) turn(ctx context.Context, prompt string) error {
	q, err := t.next(prompt, t.session)
	if err != nil {
		return err
	}
	turning, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	quiet := sync.OnceFunc(terminalOf(t.err).spin(t.waiting()))
	defer quiet()
	session, err := t.ask(turning, t.connection, q, quiet, t.streams)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case turning.Err() != nil:
		_, err = fmt.Fprintln(t.err, "(interrupted)")
		return err
	case errors.Is(err, client.ErrNoServer):
		return err
	case err != nil:
		_, err = fmt.Fprintln(t.err, "clinvk:", err)
		return err
	}
	// From now on it is the branch that goes on, with what it was given.
	t.session, t.fork, t.title, t.tags = session, false, "", nil
	return nil
}

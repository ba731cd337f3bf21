package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
)

// backend answers from the request alone.
type backend struct {
	live     *conversations
	sessions sessions
	exit     func(int)
}

func newBackend() *backend { return &backend{live: newConversations(), exit: os.Exit} }

func (*backend) Describe() plugins.Description {
	return plugins.Description{
		Name:     "echo",
		Title:    "Echo",
		Summary:  "Answers with what it was asked: for demonstrations and tests.",
		Homepage: "https://github.com/clinvk/clinvk",
		License:  "MIT",
	}
}

// Configure finds a place for the sessions.
func (b *backend) Configure(_ context.Context, config plugins.Config) []plugins.Diagnostic {
	b.sessions.dir = filepath.Join(config.StateDir, "sessions")
	if err := os.MkdirAll(b.sessions.dir, 0o700); err != nil {
		return []plugins.Diagnostic{{Severity: plugins.SeverityError, Summary: "no directory for sessions", Detail: err.Error()}}
	}
	return nil
}

func (*backend) ChatSupport() plugins.ChatSupport { return plugins.ChatSupport{} }

func (*backend) AgentSupport() plugins.AgentSupport {
	return plugins.AgentSupport{
		Approvals: []plugins.ApprovalMode{plugins.ApprovalDefault, plugins.ApprovalAuto, plugins.ApprovalNone, plugins.ApprovalAlways},
		Sandboxes: []plugins.SandboxMode{plugins.SandboxDefault, plugins.SandboxReadOnly, plugins.SandboxWorkspace, plugins.SandboxFull},
	}
}

func (*backend) LiveSupport() plugins.LiveSupport {
	return plugins.LiveSupport{IdleTimeout: liveIdle}
}

func (*backend) ToolSupport() plugins.ToolSupport {
	return plugins.ToolSupport{ForcedChoice: true, ParallelCalls: true}
}

func (*backend) StructuredOutputSupport() plugins.StructuredOutputSupport {
	return plugins.StructuredOutputSupport{Strict: true}
}

func (*backend) ReasoningSupport() plugins.ReasoningSupport {
	return plugins.ReasoningSupport{Signatures: true}
}

func (*backend) InputMediaTypes() []string {
	return []string{"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"}
}

func (*backend) Health(context.Context, bool) (plugins.Health, error) {
	return plugins.Health{State: plugins.HealthReady}, nil
}

func (*backend) Models(context.Context) ([]plugins.Model, error) {
	out := make([]plugins.Model, 0, len(models))
	for i, m := range models {
		out = append(out, plugins.Model{ID: m.id, Title: m.title, Default: i == 0})
	}
	return out, nil
}

// CountTokens counts as Execute does.
//
//nolint:unparam // the interface has an estimate
func (*backend) CountTokens(_ context.Context, turn *plugins.Turn) (int64, bool, error) {
	if _, err := find(turn.Model); err != nil {
		return 0, false, err
	}
	return inputTokens(turn), false, nil
}

func (b *backend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	run, err := find(turn.Model)
	if err != nil {
		return err
	}
	if len(turn.Messages) == 0 {
		return plugins.Errorf(plugins.CodeInvalidRequest, "there is no message to answer")
	}
	// What is there counts in this order: the live conversation, the session, the
	// messages of the turn.
	a := &answer{ctx: ctx, turn: turn, messages: turn.Messages, out: out, exit: b.exit}
	talk, live := b.live.take(turn)
	if live {
		a.messages, a.session, a.held, a.holder = talk.messages, talk.session, turn.Live.Held, "live"
	} else if a.session, a.held = b.sessions.open(turn); a.held > 0 {
		a.holder = "session"
	}
	if err := out.Started(run.id, live); err != nil {
		return err
	}
	if turn.OutputSchema != nil && run.id != "tool" {
		err = a.structured()
	} else {
		err = run.answer(a)
	}
	if err != nil {
		return err
	}
	if err := out.Usage(a.usage()); err != nil {
		return err
	}
	finish := plugins.Finish{Reason: a.reason, StopSequence: a.stopSequence, Model: run.id}
	if a.session != nil {
		if finish.SessionToken, err = b.sessions.keep(a.session, len(a.messages)+1); err != nil {
			return err
		}
	}
	if turn.Live != nil && a.reason != plugins.FinishInterrupted {
		finish.LiveToken = b.live.keep(append(a.messages[:len(a.messages):len(a.messages)], a.message()), a.session)
	}
	out.Finish(finish)
	return nil
}

// answer is one answer in the making.
type answer struct {
	ctx      context.Context //nolint:containedctx // lives as long as the call
	turn     *plugins.Turn
	messages []plugins.Message
	// session that the turn belongs to; nil: none.
	session *session
	// held is how many of the messages were known before, and holder what knew them.
	held   int
	holder string
	out    *plugins.Stream
	exit   func(int)

	text   strings.Builder
	calls  []plugins.ToolCall
	reason plugins.FinishReason
	// stopSequence that ended the answer.
	stopSequence string
}

// say emits a piece of the answer.
func (a *answer) say(text string) error {
	a.text.WriteString(text)
	return a.out.Text(text)
}

// pause waits between two pieces; it returns true when the turn was interrupted.
func (a *answer) pause(d time.Duration) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false, nil
	case <-a.turn.Interrupted:
		a.reason = plugins.FinishInterrupted
		return true, nil
	case <-a.ctx.Done():
		return true, context.Cause(a.ctx)
	}
}

// sayAll emits text in pieces of about a word.
func (a *answer) sayAll(text string, gap func(pieces int) time.Duration) error {
	pieces := split(text)
	for i, piece := range pieces {
		if i > 0 && gap != nil {
			if stop, err := a.pause(gap(len(pieces))); stop {
				return err
			}
		}
		if err := a.say(piece); err != nil {
			return err
		}
	}
	return nil
}

// structured answers with the sample that the schema describes.
func (a *answer) structured() error {
	v, err := sample(a.turn.OutputSchema)
	if err != nil {
		return plugins.Errorf(plugins.CodeInvalidRequest, "output schema: %w", err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.sayAll(string(text), nil)
}

func (a *answer) message() plugins.Message {
	m := plugins.Message{Role: plugins.RoleAssistant}
	if a.text.Len() > 0 {
		m.Parts = append(m.Parts, plugins.Text(a.text.String()))
	}
	for _, c := range a.calls {
		m.Parts = append(m.Parts, c)
	}
	return m
}

func (a *answer) usage() plugins.Usage {
	in := inputTokens(a.turn)
	out := tokens(a.text.Len())
	for _, c := range a.calls {
		out += tokens(len(c.Name) + len(c.Arguments))
	}
	return plugins.Usage{InputTokens: &in, OutputTokens: &out}
}

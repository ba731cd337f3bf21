package main

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/google/uuid"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/fleet"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// openTimeout bounds the opening of a session, which takes 40 ms; with a Google
// login up to a second, for the CLI then asks for the account's quota.
const openTimeout = 20 * time.Second

// route is how a turn gets to the model.
type route struct {
	model   string
	profile fleet.Profile
	open    func(ctx context.Context, w *fleet.Worker) (*fleet.Session, error)
	// keeper is nil when the conversation is not to be kept.
	keeper *keeper
	// prompt has the CLI call the model.
	prompt string
	// notice warns the caller; may be empty.
	notice string
}

// Execute runs one turn in a process of its own for the time being.
func (b *backend) Execute(ctx context.Context, turn *plugins.Turn, out *plugins.Stream) error {
	if err := b.ready(); err != nil {
		return err
	}
	r, err := b.route(turn)
	if err != nil {
		return err
	}
	if r.notice != "" {
		if err := out.Notice(plugins.SeverityWarning, r.notice); err != nil {
			return err
		}
	}
	if r.keeper != nil {
		b.prune()
	}
	w, s, err := b.begin(ctx, turn, r)
	if err != nil {
		return err
	}
	t := &turnRun{turn: turn, out: out, session: s, model: r.model, keeper: r.keeper}
	err = t.run(ctx, r.prompt)
	s.Close()
	b.fleet.Release(w, t.settled)
	return err
}

// begin opens a session. A process that has died while it was idle or dies now is
// replaced once: nothing of the turn has gone to the model yet.
func (b *backend) begin(ctx context.Context, turn *plugins.Turn, r route) (*fleet.Worker, *fleet.Session, error) {
	for attempt := 1; ; attempt++ {
		w, err := b.fleet.Acquire(ctx, r.profile)
		if err != nil {
			return nil, nil, startError(ctx, err)
		}
		s, err := b.open(ctx, w, turn, r)
		if err == nil {
			return w, s, nil
		}
		b.fleet.Release(w, false)
		var exit *fleet.ExitError
		if attempt == 1 && errors.As(err, &exit) && ctx.Err() == nil {
			continue
		}
		return nil, nil, openError(ctx, err)
	}
}

func (b *backend) open(ctx context.Context, w *fleet.Worker, turn *plugins.Turn, r route) (*fleet.Session, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, &plugins.Error{
		Code: plugins.CodeCLIFailure, Retryable: true, Message: "the Gemini CLI did not open a session in time",
	})
	defer cancel()
	s, err := r.open(ctx, w)
	if err != nil {
		return nil, err
	}
	if r.model != b.settings.Model {
		err = s.SetModel(ctx, r.model)
	}
	if mode := agentMode(turn); err == nil && mode != "" {
		err = s.SetMode(ctx, mode)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// modelName is what can stand in the API's address.
var modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)*$`)

// route decides how the turn gets to the model, and refuses what cannot.
func (b *backend) route(turn *plugins.Turn) (route, error) {
	r := route{model: turn.Model}
	if r.model == "" {
		r.model = b.settings.Model
	}
	if !modelName.MatchString(r.model) {
		return r, plugins.Errorf(plugins.CodeNotFound, "no model can have the name %q", r.model)
	}
	if len(turn.ExtraArguments) > 0 {
		return r, plugins.Errorf(plugins.CodeInvalidRequest, "the gemini backend takes no extra arguments")
	}
	turn = withoutSchema(r.model, turn)
	contents, err := wire.Contents(r.model, turn.Messages)
	if err != nil {
		return r, &plugins.Error{Code: plugins.CodeInvalidRequest, Message: err.Error(), Err: err}
	}
	g := wire.NewGeneration(r.model, turn.Sampling, turn.OutputSchema)
	switch {
	case turn.Mode == plugins.ModeAgent:
		err = b.agentRoute(&r, turn, contents, g)
	case b.settings.Conversation == "session":
		err = b.seedRoute(&r, turn, contents, g)
	case findLogin(b.config.Environment).exact():
		err = b.bodyRoute(&r, turn, contents, g)
	case b.settings.Conversation == "body":
		err = plugins.Errorf(plugins.CodeUnsupported,
			`with a Google login a conversation cannot be the body of the request: set GEMINI_API_KEY, or "conversation" to "auto"`)
	default:
		err = b.seedRoute(&r, turn, contents, g)
	}
	return r, err
}

// bodyRoute replaces the body of the CLI's request.
func (b *backend) bodyRoute(r *route, turn *plugins.Turn, contents []wire.Content, g wire.Generation) (err error) {
	body := wire.Body{Contents: contents, System: turn.System, Tools: turn.Tools, ToolChoice: turn.ToolChoice, Generation: g}
	settings, err := body.Settings()
	if err != nil {
		return &plugins.Error{Code: plugins.CodeInvalidRequest, Message: err.Error(), Err: err}
	}
	r.prompt = "." // the body replaces it
	r.profile, err = b.chatProfile(wire.Generation{})
	r.open = func(ctx context.Context, w *fleet.Worker) (*fleet.Session, error) { return w.OpenBody(ctx, settings) }
	return err
}

// seedRoute writes the conversation into a session file. Generation settings then
// belong to the process: the first turn with new ones waits for its start.
func (b *backend) seedRoute(r *route, turn *plugins.Turn, contents []wire.Content, g wire.Generation) (err error) {
	if len(turn.Tools) > 0 {
		return plugins.Errorf(plugins.CodeUnsupported,
			"with a Google login the Gemini CLI takes no tools of the client: set GEMINI_API_KEY, or leave the tools out")
	}
	file, exact := wire.SystemFile(turn.System)
	if !exact {
		r.notice = "the Gemini CLI changes space at the ends, runs of blank lines and ${...} names of these instructions"
	}
	r.profile, err = b.chatProfile(g)
	r.open = func(ctx context.Context, w *fleet.Worker) (*fleet.Session, error) {
		return w.OpenSeed(ctx, newSeed(contents, true), file, "")
	}
	return err
}

func newSeed(contents []wire.Content, bare bool) wire.Seed {
	return wire.Seed{SessionID: uuid.NewString(), Contents: contents, Bare: bare, Now: time.Now()}
}

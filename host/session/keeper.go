package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// Store is what a Keeper needs. Its errors are those of package store.
type Store interface {
	CreateSession(ctx context.Context, s *store.Session, first *store.Append) error
	Session(ctx context.Context, owner, id string) (*store.Session, error)
	FindSession(ctx context.Context, owner, prefix string) (*store.Session, error)
	Turns(ctx context.Context, owner, id string) ([]store.SessionTurn, error)
	Sessions(ctx context.Context, owner string, f store.Filter) (store.Page, error)
	Lease(ctx context.Context, owner, id string) (release func(), err error)
	AppendTurn(ctx context.Context, owner, id string, a store.Append) (seq int, err error)
	ChangeSession(ctx context.Context, owner, id string, c store.Change) error
	ForkSession(ctx context.Context, owner, from string, s *store.Session) (token []byte, err error)
	DeleteSession(ctx context.Context, owner, id string) (*store.Session, error)
	PruneSessions(ctx context.Context, p store.Policy) ([]store.Deleted, error)
}

// Engine is what a Keeper needs of the engine.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	Preview(ctx context.Context, t *engine.Turn) (*engine.Preview, error)
	Resolve(t *engine.Turn) (backend, name string, err error)
	Backend(name string) (engine.BackendInfo, error)
	// DeleteSession must end when ctx does.
	DeleteSession(ctx context.Context, backend string, token []byte) error
}

// Config of a Keeper.
type Config struct {
	// Engine that runs the turns; required.
	Engine Engine
	// Store that sessions are in; nil: none is kept, and none can be continued.
	Store Store
	// DefaultTags are put on new sessions.
	DefaultTags []string
	// OmitUsage keeps no numbers of tokens.
	OmitUsage bool
	// Retention is how long a session is kept after its last turn; 0: for ever.
	Retention time.Duration
	// Logger; nil: nowhere.
	Logger *slog.Logger
}

// Keeper runs turns and keeps their conversations. Its methods may be called
// concurrently; their errors are *engine.Error.
type Keeper struct {
	config  Config
	log     *slog.Logger
	retired *retired
}

// New makes a Keeper.
func New(c Config) *Keeper {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{config: c, log: c.Logger}
	k.retired = newRetired(k.forget)
	return k
}

// Stop ends what the Keeper does in the background, when no turn runs any more. It waits
// for backends that forget sessions until ctx ends.
func (k *Keeper) Stop(ctx context.Context) { k.retired.stop(ctx) }

// Status of a session.
const (
	// StatusActive can be continued; so can the other one.
	StatusActive = "active"
	// StatusError says that the last turn failed.
	StatusError = "error"
)

// ValidID matches what a client may call a session.
var ValidID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Execute runs a turn as the engine does, in the session that its Keep asks for.
func (k *Keeper) Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error) {
	if t.Keep == nil || k.config.Store == nil && t.Keep.ID == "" {
		return k.config.Engine.Execute(ctx, t)
	}
	c, err := k.open(ctx, t)
	if err != nil {
		return nil, err
	}
	begun := false
	defer func() {
		if !begun { // also when the engine panicked: the session must not stay taken
			c.drop()
		}
	}()
	if err := k.retired.wait(ctx, c.session.ID, c.backend); err != nil {
		return nil, err
	}
	x, err := k.config.Engine.Execute(ctx, c.turn)
	begun = err == nil
	return x, err
}

// open finds or names the session, takes it for this turn, and makes the turn that
// the engine gets.
func (k *Keeper) open(ctx context.Context, t *engine.Turn) (*conversation, error) {
	if k.config.Store == nil {
		return nil, errNoStore
	}
	turn := *t
	c := &conversation{keeper: k, ctx: context.WithoutCancel(ctx), turn: &turn, new: t.Messages, release: func() {}}
	turn.Watcher = c
	old, err := k.find(ctx, t)
	if err != nil {
		return nil, err
	}
	if old == nil {
		return c, k.begin(c)
	}
	if err := k.resume(ctx, c, old); err != nil {
		c.drop()
		return nil, err
	}
	return c, nil
}

// find returns the session to continue; nil: a new one is to be made.
func (k *Keeper) find(ctx context.Context, t *engine.Turn) (*store.Session, error) {
	keep := t.Keep
	if keep.ID == "" {
		return nil, nil //nolint:nilnil // as documented
	}
	if !ValidID.MatchString(keep.ID) {
		return nil, invalid("session_id", "the session id %.80q must have 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit", keep.ID)
	}
	if !keep.Create {
		s, err := k.config.Store.FindSession(ctx, t.Owner, keep.ID)
		return s, k.explain(keep.ID, err)
	}
	s, err := k.config.Store.Session(ctx, t.Owner, keep.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // as documented
	}
	return s, k.explain(keep.ID, err)
}

// begin makes the turn the first one of a new session.
func (k *Keeper) begin(c *conversation) error {
	keep := c.turn.Keep
	if keep.Fork {
		return invalid("fork", "fork needs the session that is to be branched: set session_id")
	}
	id := keep.ID
	if id == "" {
		id = newID()
	}
	// What does not exist is refused by the engine, which counts that.
	c.backend, c.model, _ = k.config.Engine.Resolve(c.turn)
	c.session = &store.Session{
		ID: id, Owner: c.turn.Owner, Status: StatusActive,
		Title: keep.Title, Tags: slices.Concat(k.config.DefaultTags, keep.Tags), Metadata: keep.Metadata,
	}
	if c.session.Title == "" {
		c.session.Title = titleOf(c.new)
	}
	c.fresh = true
	c.turn.Session = &engine.Session{ID: id}
	return nil
}

// resume makes the turn the next one of a session.
func (k *Keeper) resume(ctx context.Context, c *conversation, s *store.Session) (err error) {
	t, keep := c.turn, c.turn.Keep
	if keep.Create {
		if c.new, err = afterAnswer(t.Messages); err != nil {
			return err
		}
	}
	var parent []byte
	if keep.Fork {
		if s, parent, err = k.fork(ctx, c, s); err != nil {
			return err
		}
	}
	c.session = s
	release, err := k.config.Store.Lease(ctx, t.Owner, s.ID)
	if err != nil {
		return k.explain(s.ID, err)
	}
	c.release = release
	// It may have got a turn since it was found.
	if c.session, err = k.config.Store.Session(ctx, t.Owner, s.ID); err != nil {
		return k.explain(s.ID, err)
	}
	token := c.session.Token
	if keep.Fork {
		token = parent
	}
	return k.goOn(ctx, c, token)
}

// goOn gives the turn what its session has. token is the backend's name for what the
// turn continues.
func (k *Keeper) goOn(ctx context.Context, c *conversation, token []byte) (err error) {
	t, s := c.turn, c.session
	if err := checkLabels(s, t.Keep); err != nil {
		return err
	}
	if c.backend, c.model, err = k.inherit(t, s); err != nil {
		return err
	}
	turns, err := k.config.Store.Turns(ctx, t.Owner, s.ID)
	if err != nil {
		return k.explain(s.ID, err)
	}
	info, err := k.config.Engine.Backend(c.backend)
	if err != nil {
		return err
	}
	history, err := historyOf(turns, c.backend, info)
	if err != nil {
		return err
	}
	if c.backend != s.Backend || movesAway(t, s, info) {
		token = nil
	}
	t.Messages = slices.Concat(history, c.new)
	t.Session = &engine.Session{ID: s.ID, Token: token, Held: len(history), Fork: t.Keep.Fork}
	return nil
}

// Preview says what would become of a turn, as the engine does, in the session that its
// Keep asks for. It makes none and takes none.
func (k *Keeper) Preview(ctx context.Context, t *engine.Turn) (*engine.Preview, error) {
	if t.Keep == nil || t.Keep.ID == "" {
		return k.config.Engine.Preview(ctx, t)
	}
	if k.config.Store == nil {
		return nil, errNoStore
	}
	turn := *t
	c := &conversation{keeper: k, turn: &turn, new: t.Messages}
	var err error
	if c.session, err = k.find(ctx, t); err != nil {
		return nil, err
	}
	if c.session != nil {
		if t.Keep.Create {
			if c.new, err = afterAnswer(t.Messages); err != nil {
				return nil, err
			}
		}
		if err := k.goOn(ctx, c, c.session.Token); err != nil {
			return nil, err
		}
	}
	return k.config.Engine.Preview(ctx, &turn)
}

// fork makes a copy of a session. A turn that fails takes it away again. token is the
// backend's name for what was copied; nil: it has none.
func (k *Keeper) fork(ctx context.Context, c *conversation, parent *store.Session) (branch *store.Session, token []byte, err error) {
	keep := c.turn.Keep
	branch = &store.Session{
		ID: newID(), Owner: parent.Owner, ParentID: parent.ID, Backend: parent.Backend, Model: parent.Model, Mode: parent.Mode,
		WorkingDir: parent.WorkingDir, System: parent.System, Title: keep.Title, Status: StatusActive,
		Tags: parent.Tags, Metadata: parent.Metadata,
	}
	if branch.Title == "" {
		branch.Title = parent.Title
	}
	if token, err = k.config.Store.ForkSession(ctx, parent.Owner, parent.ID, branch); err != nil {
		return nil, nil, k.explain(parent.ID, err)
	}
	c.branch = true
	return branch, token, nil
}

// inherit gives the turn what it does not say itself: what the last one of its session
// had. What an agent may do without being asked is not handed on. It returns where the
// turn goes, and by which name.
func (k *Keeper) inherit(t *engine.Turn, s *store.Session) (backend, name string, err error) {
	if t.Mode == engine.ModeUnspecified {
		t.Mode = engine.ParseMode(s.Mode)
	}
	if t.WorkingDir == "" {
		t.WorkingDir = s.WorkingDir
	}
	if t.System == "" {
		t.System = s.System
	}
	if t.Model == "" && (t.Backend == "" || t.Backend == s.Backend) {
		t.Backend, t.Model = "", s.Model
		if backend, name, err = k.config.Engine.Resolve(t); err == nil {
			return backend, name, nil
		}
		t.Backend, t.Model = s.Backend, "" // the alias or the model is gone
	}
	return k.config.Engine.Resolve(t)
}

// movesAway says that the backend would not find its session: it looks in the working
// directory, which is another one now.
func movesAway(t *engine.Turn, s *store.Session, info engine.BackendInfo) bool {
	return t.WorkingDir != s.WorkingDir && info.Describe.GetCapabilities().GetSessions().GetBoundToWorkingDir()
}

// explain makes the store's errors those of a turn.
func (k *Keeper) explain(id string, err error) error {
	var e *engine.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		e = engine.Errorf(engine.CodeNotFound, "there is no session %q; `clinvk sessions list` or GET /api/v1/sessions shows those that there are", id)
	case errors.Is(err, store.ErrAmbiguous):
		e = engine.Errorf(engine.CodeInvalidRequest, "several sessions begin with %q; give more of the id", id)
	case errors.Is(err, store.ErrBusy):
		e = engine.Errorf(engine.CodeConflict, "session %s has a turn under way; wait until it has ended, cancel it, or branch the session with fork", id)
		e.Retryable = true
	case errors.Is(err, store.ErrExists):
		e = engine.Errorf(engine.CodeConflict, "session %s has just been made by another request; continue it", id)
		e.Retryable = true
	default:
		return fmt.Errorf("session %s: %w", id, err)
	}
	e.Param = "session_id"
	return e
}

func invalid(param, format string, args ...any) *engine.Error {
	e := engine.Errorf(engine.CodeInvalidRequest, format, args...)
	e.Param = param
	return e
}

// newID is one that nobody guesses, and whose first characters tell it from others.
func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// merged adds what a turn brings to what there is.
func merged(old, more map[string]string) map[string]string {
	out := maps.Clone(old)
	if out == nil {
		return maps.Clone(more)
	}
	maps.Copy(out, more)
	return out
}

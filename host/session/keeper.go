package session

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
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
	DraftSession(ctx context.Context, s *store.Session) (release func(), err error)
	Session(ctx context.Context, owner, id string) (*store.Session, error)
	FindSession(ctx context.Context, owner, prefix string) (*store.Session, error)
	Turns(ctx context.Context, owner, id string) ([]store.SessionTurn, error)
	Sessions(ctx context.Context, owner string, f store.Filter) (store.Page, error)
	Lease(ctx context.Context, owner, id string) (release func(), err error)
	AppendTurn(ctx context.Context, owner, id string, a store.Append) (seq int, err error)
	ChangeSession(ctx context.Context, owner, id string, c store.Change) error
	ForkSession(ctx context.Context, owner, from string, s *store.Session) (token []byte, release func(), err error)
	DeleteSession(ctx context.Context, owner, id string) (*store.Session, error)
	PruneSessions(ctx context.Context, p store.Policy) ([]store.Deleted, error)
}

// Engine is what a Keeper needs of the engine.
type Engine interface {
	Execute(ctx context.Context, t *engine.Turn) (*engine.Execution, error)
	Preview(ctx context.Context, t *engine.Turn) (*engine.Preview, error)
	Resolve(t *engine.Turn) (engine.Resolved, error)
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
	// Home is a directory to keep those in where agents work who were told none, one of
	// each session's own; empty: backends have them work somewhere.
	Home string
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
	dirs    workDirs
	log     *slog.Logger
	retired *retired
}

// New makes a Keeper.
func New(c Config) *Keeper {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{config: c, dirs: workDirs{c.Home}, log: c.Logger}
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
	if c.session != nil { // nil: the engine refuses the turn
		if err := k.retired.wait(ctx, c.session.ID, c.to.Backend); err != nil {
			return nil, err
		}
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
		err = k.begin(ctx, c)
	} else {
		err = k.resume(ctx, c, old)
	}
	if err != nil {
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
func (k *Keeper) begin(ctx context.Context, c *conversation) (err error) {
	t, keep := c.turn, c.turn.Keep
	if keep.Fork {
		return invalid("fork", "fork needs the session that is to be branched: set session_id")
	}
	if c.to, err = k.config.Engine.Resolve(t); err != nil {
		t.Watcher = nil
		return nil //nolint:nilerr // the engine refuses it, and counts that
	}
	s := &store.Session{
		ID: keep.ID, Owner: t.Owner, Backend: c.to.Backend, Model: c.to.Name, Mode: c.to.Mode.String(), WorkingDir: c.dir(), System: t.System,
		Status: StatusActive, Title: keep.Title, Tags: slices.Concat(k.config.DefaultTags, keep.Tags), Metadata: keep.Metadata,
	}
	if s.ID == "" {
		s.ID = newID()
	}
	if s.Title == "" {
		s.Title = titleOf(c.new)
	}
	release, err := k.config.Store.DraftSession(ctx, s)
	if err != nil {
		return k.explain(s.ID, err)
	}
	c.session, c.draft, c.release = s, true, release
	t.Session = &engine.Session{ID: s.ID}
	return k.place(c)
}

// resume makes the turn the next one of a session.
func (k *Keeper) resume(ctx context.Context, c *conversation, s *store.Session) (err error) {
	t, keep := c.turn, c.turn.Keep
	if keep.Create {
		if c.new, err = afterAnswer(t.Messages); err != nil {
			return err
		}
	}
	var token []byte
	if keep.Fork {
		token, err = k.fork(ctx, c, s)
	} else {
		token, err = k.take(ctx, c, s)
	}
	if err != nil {
		return err
	}
	if err := k.goOn(ctx, c, token); err != nil {
		return err
	}
	return k.place(c)
}

// take takes a session for the turn. token is the backend's name for it; nil: it has
// none that counts.
func (k *Keeper) take(ctx context.Context, c *conversation, s *store.Session) (token []byte, err error) {
	if c.release, err = k.config.Store.Lease(ctx, s.Owner, s.ID); err != nil {
		c.release = func() {}
		if c.turn.Keep.Create && errors.Is(err, store.ErrNotFound) {
			err = store.ErrBusy // its first turn has failed this moment
		}
		return nil, k.explain(s.ID, err)
	}
	// It may have got a turn since it was found.
	if c.session, err = k.config.Store.Session(ctx, s.Owner, s.ID); err != nil {
		return nil, k.explain(s.ID, err)
	}
	return c.session.Token, nil
}

// goOn gives the turn what its session has. token is the backend's name for what the
// turn continues.
func (k *Keeper) goOn(ctx context.Context, c *conversation, token []byte) (err error) {
	t, s := c.turn, c.session
	if err := checkLabels(s, t.Keep); err != nil {
		return err
	}
	t.Session = &engine.Session{ID: s.ID, Fork: t.Keep.Fork}
	if c.to, err = k.inherit(t, s); err != nil {
		return err
	}
	turns, err := k.config.Store.Turns(ctx, t.Owner, s.ID)
	if err != nil {
		return k.explain(s.ID, err)
	}
	info, err := k.config.Engine.Backend(c.to.Backend)
	if err != nil {
		return err
	}
	history, err := historyOf(turns, c.to.Backend, info)
	if err != nil {
		return err
	}
	t.Messages = slices.Concat(history, c.new)
	if t.Session.Held = len(history); c.to.Backend == s.Backend && !s.Torn && !c.moves(info) {
		t.Session.Token = token
	}
	return nil
}

// place gives an agent that was told no directory the session's own.
func (k *Keeper) place(c *conversation) (err error) {
	if !c.homeless() {
		return nil
	}
	s := c.session
	if c.turn.Session.WorkingDir, err = k.dirs.make(s.Owner, s.ID); err != nil {
		return k.unplaced(s.ID, err)
	}
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
		if c.homeless() {
			if turn.Session.WorkingDir, err = k.dirs.find(t.Owner, c.session.ID); err != nil {
				return nil, k.unplaced(c.session.ID, err)
			}
		}
	}
	return k.config.Engine.Preview(ctx, &turn)
}

// fork makes a copy of a session. A turn that fails takes it away again. token is the
// backend's name for what was copied; nil: it has none.
func (k *Keeper) fork(ctx context.Context, c *conversation, parent *store.Session) (token []byte, err error) {
	keep := c.turn.Keep
	branch := &store.Session{
		ID: newID(), Owner: parent.Owner, ParentID: parent.ID, Backend: parent.Backend, Model: parent.Model, Mode: parent.Mode,
		WorkingDir: parent.WorkingDir, System: parent.System, Title: keep.Title, Status: StatusActive,
		Tags: parent.Tags, Metadata: parent.Metadata,
	}
	if branch.Title == "" {
		branch.Title = parent.Title
	}
	token, release, err := k.config.Store.ForkSession(ctx, parent.Owner, parent.ID, branch)
	if err != nil {
		return nil, k.explain(parent.ID, err)
	}
	c.session, c.draft, c.release = branch, true, release
	if k.config.Home == "" {
		return token, nil
	}
	if err := k.dirs.copy(parent.Owner, parent.ID, branch.ID); err != nil {
		return nil, k.unplaced(parent.ID, err)
	}
	return token, nil
}

// inherit gives the turn what it does not say itself: what the last one of its session
// had. What an agent may do without being asked is not handed on.
func (k *Keeper) inherit(t *engine.Turn, s *store.Session) (engine.Resolved, error) {
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
		t.Session.Settled = true
		if to, err := k.config.Engine.Resolve(t); err == nil {
			return to, nil
		}
		t.Backend, t.Model = s.Backend, "" // the alias or the model is gone
	}
	return k.config.Engine.Resolve(t)
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

package engine

import (
	"context"
	"fmt"
	"time"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Keep is what a client asks for about the conversation of its turn. The engine itself
// keeps none: package session does, which stands before it.
type Keep struct {
	// ID of the session to continue, or a prefix of it; empty: a new session is made.
	ID string
	// Create says that ID is the whole id, and that the session is made when it is not
	// there. Of the messages those after the last one of the model are new.
	Create bool
	// Fork continues in a new session that begins as a copy of this one.
	Fork bool
	// Title of a new session; empty: it is made of the first message.
	Title string
	// Tags and Metadata are added to those of the session.
	Tags     []string
	Metadata map[string]string
}

// Session says that the conversation of a turn is kept. The transcript is the caller's:
// Turn.Messages is all of it. What is here is the backend's part.
type Session struct {
	// ID that the session is known by.
	ID string
	// Token is the backend's own name for the conversation; nil: it has none.
	Token []byte
	// Held is how many of Turn.Messages the backend's session holds.
	Held int
	// Fork branches the backend's session instead of continuing it.
	Fork bool
	// WorkingDir is where an agent works whom nobody tells another place, as the caller
	// has made it; empty: in a private directory of the backend's.
	WorkingDir string
	// Settled says that Turn.Model is the session's, and Turn.Mode and Turn.WorkingDir are
	// what it had or what the client asks for now: they count before those of an alias.
	Settled bool
}

// Resolved is where a turn goes, and what counts there.
type Resolved struct {
	Backend string
	// Name is what Turn.Model alone asks for the same by.
	Name string
	Mode Mode
	// WorkingDir that the turn or its alias names for an agent; empty: none.
	WorkingDir string
}

// Resolve says where a turn would go. The error is an *Error.
func (e *Engine) Resolve(t *Turn) (Resolved, error) {
	to, err := e.route(t)
	if err != nil {
		return Resolved{}, err
	}
	p := e.prepare(t, to)
	return Resolved{Backend: to.backend, Name: shownModel(t, to), Mode: p.Mode, WorkingDir: p.WorkingDir}, nil
}

// DeleteSession has a backend forget a session of its own. One that keeps none, or
// none that can be deleted, has nothing to forget.
func (e *Engine) DeleteSession(ctx context.Context, backend string, token []byte) error {
	info, ok := e.backends.Info(backend)
	if !ok || !info.Describe.GetCapabilities().GetSessions().GetList() {
		return nil
	}
	lease, err := e.backends.Acquire(ctx, backend)
	if err != nil {
		return err
	}
	defer lease.Release()
	ctx, cancel := context.WithTimeout(ctx, deleteTimeout)
	defer cancel()
	if _, err := lease.Client().DeleteSession(ctx, &backendv1.DeleteSessionRequest{Token: token}); err != nil {
		return fmt.Errorf("deleting a session of backend %s: %w", backend, err)
	}
	return nil
}

// deleteTimeout is far more than the removal of some files takes.
const deleteTimeout = 10 * time.Second

// useSession tells the backend which of its sessions the turn belongs to, if it keeps
// any in this mode.
func (x *Execution) useSession(start *backendv1.Start) {
	s := x.turn.Session
	info, _ := x.engine.backends.Info(x.to.backend)
	caps := info.Describe.GetCapabilities().GetSessions()
	if s == nil || caps == nil || caps.GetAgentOnly() && x.turn.Mode != ModeAgent {
		return
	}
	x.kept = true
	start.Session = &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_CREATE}
	if len(s.Token) == 0 || s.Fork && !caps.GetFork() {
		return
	}
	start.Session.Action = backendv1.SessionAction_SESSION_ACTION_RESUME
	if s.Fork {
		start.Session.Action = backendv1.SessionAction_SESSION_ACTION_FORK
	}
	start.Session.Token, start.Session.MessagesHeld = s.Token, uint32(s.Held) //nolint:gosec // a number of messages
}

// diverge says that the backend holds something else than the client has seen.
func (x *Execution) diverge() {
	x.forget()
	x.diverged = true
}

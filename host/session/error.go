package session

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

var errNoStore = engine.Errorf(engine.CodeUnavailable, "there are no sessions: the server has no store; its log says why")

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
		return k.unsaved(fmt.Errorf("session %s: %w", id, err))
	}
	e.Param = "session_id"
	return e
}

// without says how to do without a session, in each dialect.
const without = `or ask without a session: "ephemeral": true over REST, no X-Clinvk-Session header elsewhere`

// unsaved is the error for what could not be written, or read. The cause names files; it
// is for the log.
func (k *Keeper) unsaved(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	e := &engine.Error{Code: engine.CodeStorage, Err: err}
	switch {
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC):
		e.Message = "the session could not be saved: the disk is full; free some space, " + without
	case errors.Is(err, store.ErrUnwritable):
		e.Message = "the session could not be saved: its file cannot be written, the log of the server says why; see to that, " + without
	default:
		e.Message = "the session could not be saved or read, the log of the server says why; see to that, " + without
	}
	k.log.Error("a session could not be saved or read", "error", err)
	return e
}

// unplaced is the error for a directory of a session's own that cannot be used.
func (k *Keeper) unplaced(id string, err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return k.unsaved(err)
	}
	e := engine.Errorf(engine.CodeStorage, "the working directory of session %s cannot be used (%w); see to that, or name another one with workdir", id, err)
	e.Param = "workdir"
	return e
}

package host

import (
	"context"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/session"
)

// turns is what dialects see: the engine, with sessions before it.
type turns struct {
	*engine.Engine
	sessions *session.Keeper
}

// Execute runs a turn in the session that it asks for.
func (t turns) Execute(ctx context.Context, turn *engine.Turn) (*engine.Execution, error) {
	return t.sessions.Execute(ctx, turn)
}

func (h *Host) turns() turns { return turns{h.engine, h.sessions} }

// newSessions keeps conversations in the store, if there is one.
func (h *Host) newSessions() *session.Keeper {
	c := session.Config{Engine: h.engine, Logger: h.log, Retention: sessionRetention}
	if h.store != nil {
		c.Store = h.store
	}
	return session.New(c)
}

// sessionRetention is how long a session is kept after its last turn.
const sessionRetention = 30 * 24 * time.Hour

package host

import (
	"context"
	"time"

	"github.com/clinvk/clinvk/host/config"
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

// Preview says what would become of a turn in the session that it asks for.
func (t turns) Preview(ctx context.Context, turn *engine.Turn) (*engine.Preview, error) {
	return t.sessions.Preview(ctx, turn)
}

func (h *Host) turns() turns { return turns{h.engine, h.sessions} }

// newSessions keeps conversations in the store, if there is one.
func (h *Host) newSessions() *session.Keeper {
	s := h.config.Settings.Session
	c := session.Config{
		Engine: h.engine, Logger: h.log, Home: h.config.Settings.Home, DefaultTags: s.DefaultTags, Retention: retention(s),
		OmitUsage: s.StoreTokenUsage != nil && !*s.StoreTokenUsage,
	}
	if h.store != nil {
		c.Store = h.store
	}
	return session.New(c)
}

// retention is how long a session is kept after its last turn; 0: for ever.
func retention(s config.Session) time.Duration {
	days := 30 // as many as responses are kept
	if s.RetentionDays != nil {
		days = *s.RetentionDays
	}
	return time.Duration(days) * 24 * time.Hour
}

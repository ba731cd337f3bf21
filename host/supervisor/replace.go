package supervisor

import (
	"cmp"
	"context"
	"errors"
	"syscall"

	"github.com/clinvk/clinvk/host/catalog"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// successor is a process that is being started beside the one in service.
type successor struct {
	asked   chan<- error // the caller of Restart; nil: files or settings have changed
	attempt attempt
	cancel  context.CancelFunc
	done    chan arrival // gets one
}

// arrival is how the start of a successor went.
type arrival struct {
	instance *instance
	prepared *prepared
	err      error
}

// arrival gets how the start went; never anything when there is no successor.
func (n *successor) arrival() <-chan arrival {
	if n == nil {
		return nil
	}
	return n.done
}

// startBeside begins to start a successor. It must be waited for: by its arrival,
// or by abandon.
func (u *unit) startBeside(ctx context.Context, asked chan<- error) *successor {
	ctx, cancel := context.WithCancel(ctx)
	n := &successor{
		asked: asked, attempt: attempt{u.entry, u.config.Settings(u.entry.Name)}, cancel: cancel, done: make(chan arrival, 1),
	}
	go func() {
		i, p, err := u.bringUp(ctx, n.attempt.settings)
		if err == nil {
			p.models = u.firstModels(ctx, i)
		}
		n.done <- arrival{i, p, err}
	}()
	return n
}

// abandon gives a successor up because there is nothing to succeed any more. What it
// was wanted for still holds: who asked for it learns how the next start goes, and
// that one comes at once, however often the old process has crashed.
func (u *unit) abandon(ctx context.Context, n *successor) {
	if n == nil {
		return
	}
	n.cancel()
	if a := <-n.done; a.err == nil {
		a.instance.discard(ctx)
	}
	u.history.forget()
	if n.asked != nil {
		u.pending = append(u.pending, n.asked)
	}
}

// adopt notes what is on disk: that is what the next start starts.
func (u *unit) adopt(e catalog.Entry) {
	u.entry = e
	u.set(func(s *Status) {
		s.Shadowed = e.Shadowed
		if s.PID == 0 {
			s.Path, s.Source, s.SHA256, s.Trust = e.Path, string(e.Source), e.SHA256, e.Trust
		}
	})
}

// compare holds what is on disk, and the settings, against the process in service and
// starts a successor when that may help.
func (u *unit) compare(ctx context.Context, i *instance, e catalog.Entry) *successor {
	u.adopt(e)
	now := attempt{e, u.config.Settings(e.Name)}
	switch {
	case now.same(attempt{i.entry, i.settings}):
		u.broken = nil
		u.set(func(s *Status) { s.UpdateError, s.Trust = "", e.Trust })
	case u.broken != nil && now.same(*u.broken): // nothing has changed since it was tried
	case e.Refused != nil:
		u.keep(refused(e.Refused), now)
	case e.Same(i.entry):
		u.log.Info("the plugin's settings have changed")
		return u.startBeside(ctx, nil)
	default:
		u.log.Info("the plugin's files have changed", "path", e.Path, "sha256", e.SHA256)
		return u.startBeside(ctx, nil)
	}
	return nil
}

// succeed puts a successor into service, or says why the old process stays.
func (u *unit) succeed(ctx context.Context, a arrival, n *successor) bool {
	err, asked := a.err, n.asked
	if err == nil && asked == nil {
		if err = u.worse(a.prepared.health); err != nil {
			a.instance.discard(ctx)
		}
	}
	switch {
	case err == nil:
		u.forgive()
		u.enter(ctx, a.instance, a.prepared)
	case asked == nil && ctx.Err() == nil:
		u.keep(err, n.attempt)
	}
	if asked != nil {
		asked <- err
	}
	return err == nil
}

// worse says why a successor would not serve though the process in service does.
// Somebody who restarts a backend by hand gets the new process all the same.
func (u *unit) worse(h *backendv1.HealthResponse) error {
	if !usable(u.snapshot().Health) || usable(h) {
		return nil
	}
	return &startError{
		stage: stageHealth, err: errors.New(cmp.Or(h.GetMessage(), h.GetState().String())), remedy: h.GetRemedy(),
	}
}

func usable(h *backendv1.HealthResponse) bool {
	s := h.GetState()
	return s == backendv1.HealthState_HEALTH_STATE_READY || s == backendv1.HealthState_HEALTH_STATE_DEGRADED
}

// same says that the one would go as the other did.
func (a attempt) same(other attempt) bool {
	return a.entry.Same(other.entry) && a.settings.Same(other.settings)
}

// keep records why the process in service stays though files or settings have changed.
func (u *unit) keep(err error, tried attempt) {
	e := &startError{err: err}
	errors.As(err, &e)
	u.log.Error("a changed plugin does not work; the old process keeps serving", "error", err, "remedy", e.remedy)
	text := err.Error()
	if e.remedy != "" {
		text += "; " + e.remedy
	}
	u.set(func(s *Status) { s.UpdateError = text })
	u.broken = nil
	if !errors.Is(err, syscall.ETXTBSY) { // somebody was still writing it
		u.broken = &tried
	}
}

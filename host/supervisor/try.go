package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/clinvk/clinvk/host/catalog"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Try says whether a plugin would serve with other settings: a process is started with
// them, as far as Health, and ended again. The one in service has no part in it. The
// error says what is wrong and what to do. Where nothing serves now, only a plugin that
// refuses the settings is one: anything else may have been wrong before.
func (s *Supervisor) Try(ctx context.Context, e catalog.Entry, settings Settings) error {
	u, ctx, end, err := s.trial(ctx, e)
	if err != nil {
		return err
	}
	defer end()
	i, p, err := u.bringUp(ctx, settings)
	serving := s.roster.Load().units[e.Name]
	if err == nil {
		i.stop(u.ends.mercy, u.config.Timings.Shutdown)
		if serving != nil {
			err = serving.worse(p.health)
		}
	}
	failed, ok := errors.AsType[*startError](err)
	if ok && failed.stage != stageConfigure && (serving == nil || !serving.snapshot().State.Serves()) {
		return nil
	}
	return withRemedy(err)
}

// Describe starts a process of a plugin, asks what it is and ends it again.
func (s *Supervisor) Describe(ctx context.Context, e catalog.Entry) (*backendv1.DescribeResponse, error) {
	u, ctx, end, err := s.trial(ctx, e)
	if err != nil {
		return nil, err
	}
	defer end()
	launching, cancel := context.WithTimeout(ctx, u.config.Timings.Handshake)
	defer cancel()
	i, err := u.launch(launching)
	if err != nil {
		return nil, withRemedy(err)
	}
	d, err := u.describe(ctx, i)
	i.stop(u.ends.mercy, u.config.Timings.Shutdown)
	return d, withRemedy(err)
}

// withRemedy adds to the error of a start what to do.
func withRemedy(err error) error {
	if failed, ok := errors.AsType[*startError](err); ok && failed.remedy != "" {
		return fmt.Errorf("%w; %s", err, failed.remedy)
	}
	return err
}

// trial is a unit for one start besides those that live; end must be called.
func (s *Supervisor) trial(ctx context.Context, e catalog.Entry) (u *unit, life context.Context, end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started || s.stopped {
		return nil, nil, nil, errors.New("trying a plugin: the plugins do not run")
	}
	s.running.Add(1)
	u = s.newUnit(e)
	u.dir = s.dir
	life, cancel := context.WithCancel(ctx)
	unbind := context.AfterFunc(u.ends.life, cancel)
	return u, life, func() {
		unbind()
		cancel()
		u.endLife()
		s.running.Done()
	}, nil
}

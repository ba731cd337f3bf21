package supervisor

import (
	"context"
	"errors"
	"fmt"

	"github.com/clinvk/clinvk/host/catalog"
)

// Try says whether a plugin would serve with other settings: a process is started with
// them, as far as Health, and ended again. The one in service has no part in it. The
// error says what is wrong and what to do. Where nothing serves now, only a plugin that
// refuses the settings is one: anything else may have been wrong before.
func (s *Supervisor) Try(ctx context.Context, e catalog.Entry, settings Settings) error {
	s.mu.Lock()
	if !s.started || s.stopped {
		s.mu.Unlock()
		return errors.New("trying settings: the plugins do not run")
	}
	s.running.Add(1)
	dir := s.dir
	s.mu.Unlock()
	defer s.running.Done()
	u := s.newUnit(e)
	defer u.endLife()
	u.dir = dir
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.ends.life, cancel)()
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
	if ok && failed.remedy != "" {
		return fmt.Errorf("%w; %s", err, failed.remedy)
	}
	return err
}

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/runner"
)

// roster is who is there. It is never changed, only replaced, so that those who
// read it need no lock.
type roster struct {
	names []string // in order
	units map[string]*unit
}

func newRoster(units map[string]*unit) *roster {
	return &roster{names: slices.Sorted(maps.Keys(units)), units: units}
}

// distinct says which name occurs twice.
func distinct(entries []catalog.Entry) error {
	seen := map[string]bool{}
	for _, e := range entries {
		if seen[e.Name] {
			return fmt.Errorf("%q is listed twice", e.Name)
		}
		seen[e.Name] = true
	}
	return nil
}

// newUnit prepares a plugin's life.
func (s *Supervisor) newUnit(e catalog.Entry) *unit {
	u := &unit{
		config: s.config, entry: e, log: s.config.Logger.With("backend", e.Name), next: &s.next,
		ends:     &endings{patience: s.ends.patience, mercy: s.ends.mercy},
		restarts: make(chan restart), posts: make(chan catalog.Entry, 1), decided: make(chan struct{}), changed: make(chan struct{}),
		status: initial(e, time.Now()), history: history{timings: s.config.Timings},
		walls: newWalls(e.Name, s.config.Logger.With("backend", e.Name), s.config.Timings, &s.watching),
	}
	u.ends.life, u.endLife = context.WithCancel(s.ends.life)
	return u
}

// animate begins a plugin's life, unless the configuration switches it off. The
// caller holds mu.
func (s *Supervisor) animate(u *unit) {
	u.dir = s.dir
	if !s.config.Settings(u.entry.Name).Enabled {
		u.set(func(s *Status) { s.State = StateDisabled })
		close(u.decided)
		return
	}
	u.alive = true
	s.running.Go(func() {
		u.run()
		s.forget(u)
	})
}

// Update says what is there now, and that Settings may have others to tell; it does
// not wait for what follows from it. A new plugin is started, also one that was
// switched on. One that is gone finishes its turns and then vanishes from Names; one
// that was switched off stays there. When the files or the settings of one have
// changed, a new process is started beside the one that serves and replaces it once
// it is healthy; until then, and when it never is, the old one serves, and
// Status.UpdateError says why. What did not work is not tried again before they
// change again.
func (s *Supervisor) Update(entries []catalog.Entry) error {
	if err := distinct(entries); err != nil {
		return fmt.Errorf("updating plugins: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("updating plugins: the server is stopping")
	}
	before := s.roster.Load().units
	units := map[string]*unit{}
	for _, e := range entries {
		u := before[e.Name]
		if u != nil && u.alive && u.ends.life.Err() == nil && s.config.Settings(e.Name).Enabled {
			u.post(e)
			units[e.Name] = u
			continue
		}
		if u == nil && s.started {
			s.config.Logger.Info("plugin found", "backend", e.Name, "path", e.Path)
		}
		u = s.newUnit(e)
		if old := before[e.Name]; old != nil { // it may still finish its turns, within the same walls
			u.walls = old.walls
		}
		units[e.Name] = u
		if s.started {
			s.animate(u)
		}
	}
	for name, u := range before {
		if units[name] == u {
			continue
		}
		if u.alive && u.ends.life.Err() == nil {
			if units[name] == nil {
				u.log.Info("plugin removed")
				u.set(func(s *Status) { s.Removed = true })
			} else {
				u.log.Info("plugin switched off")
			}
		}
		u.endLife()
		if u.alive && units[name] == nil {
			units[name] = u // until its turns are over
		}
	}
	s.roster.Store(newRoster(units))
	return nil
}

// forget strikes a plugin that was removed off the roster, at the end of its life.
func (s *Supervisor) forget(u *unit) {
	if !u.snapshot().Removed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	units := maps.Clone(s.roster.Load().units)
	if units[u.entry.Name] == u {
		delete(units, u.entry.Name)
		s.roster.Store(newRoster(units))
		u.walls.note(runner.Usage{}, "") // who waits for it must learn that it is gone
	}
}

// post tells a plugin what is on disk now. The supervisor holds mu: there is one
// caller at a time, so that the room it makes stays free.
func (u *unit) post(e catalog.Entry) {
	select {
	case <-u.posts: // what it has not read is old
	default:
	}
	u.posts <- e
}

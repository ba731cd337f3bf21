package supervisor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/clinvk/clinvk/host/runner"
)

// watchWalls measures the processes of all backends, once for all of them each time,
// and has each backend judged by it, until ctx ends.
func (s *Supervisor) watchWalls(ctx context.Context) {
	meter := runner.NewMeter()
	ticker := time.NewTicker(s.config.Timings.Watch)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		units := slices.Collect(maps.Values(s.roster.Load().units))
		usage, err := measure(meter, units)
		if errors.Is(err, runner.ErrNotMeasured) {
			s.config.Logger.Info("limits on memory and processes are not watched", "reason", err)
			for _, u := range units {
				u.walls.note(runner.Usage{}, "") // nobody waits for what nobody will see
			}
			return
		}
		if err != nil {
			s.config.Logger.Debug("measuring plugins", "error", err)
			continue
		}
		now := time.Now()
		for _, u := range units {
			u.judge(ctx, now, usage)
		}
	}
}

// measure looks at all processes of these units.
func measure(meter *runner.Meter, units []*unit) (map[*runner.Process]runner.Usage, error) {
	var all []*runner.Process
	near := map[*runner.Process]int64{}
	for _, u := range units {
		instances, limits := u.walls.watched()
		for _, i := range instances {
			all = append(all, i.process)
			near[i.process] = limits.near() / int64(len(instances))
		}
	}
	if len(all) == 0 {
		return map[*runner.Process]runner.Usage{}, nil
	}
	return meter.Measure(all, func(p *runner.Process) int64 { return near[p] })
}

// Pressure says why new turns of a backend must wait; empty: they need not. changed
// is closed when that changes; nil: it never does.
func (s *Supervisor) Pressure(name string) (reason string, changed <-chan struct{}) {
	u, ok := s.roster.Load().units[name]
	if !ok {
		return "", nil
	}
	return u.walls.state()
}

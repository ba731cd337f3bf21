package supervisor

import (
	"fmt"
	"time"

	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Numbers of the walls. All are fractions of a limit.
const (
	// recoveredAt is where pressure ends: below the limit, so that it does not come
	// and go with every turn.
	recoveredAt = 0.9
	// urgentAt is from where on a step that the plugin has been told is given no time
	// to show, hopelessAt from where on no step is.
	urgentAt   = 1.25
	hopelessAt = 1.5
	// bombAt is how many processes nothing but a fork bomb has.
	bombAt = 2
	// reliefMost bounds how long spares stay away after pressure that comes back.
	reliefMost = 16 * time.Minute
)

// action is what is to be done now.
type action int

const (
	actNothing action = iota
	// actStop ends the biggest process, or the biggest crowd.
	actStop
	// actKill ends the plugin with all that it started.
	actKill
)

// pressure decides what is done about a backend that uses more than it may. It
// holds no locks and asks nobody: one goroutine tells it what is measured.
//
// New turns wait from the moment a limit is passed. The backend gives up its spares,
// then its idle conversations, each step having a grace to show; then the biggest
// process is ended, one after another. Afterwards spares stay away for a while, for
// longer each time that their return brings the pressure back.
type pressure struct {
	limits  limits
	timings Timings

	// reason is why new turns wait; empty: they do not.
	reason string
	// level is what the backend is to give up.
	level backendv1.ReliefLevel

	stepped time.Time // the last step
	restore time.Time // when all may be kept again; zero: nothing is given up
	away    time.Duration
}

// limits are the walls of a backend; 0: none.
type limits struct {
	memory    int64 // bytes
	processes int
}

// excess says in which way the limits are passed; empty: they are not.
func (l limits) excess(name string, u runner.Usage) string {
	switch {
	case l.memory > 0 && u.Memory > l.memory:
		return fmt.Sprintf("backend %s used %d MB of its %d MB limit", name, u.Memory>>20, l.memory>>20)
	case l.processes > 0 && u.Processes > l.processes:
		return fmt.Sprintf("backend %s ran %d processes, its limit is %d", name, u.Processes, l.processes)
	}
	return ""
}

// share is the larger part of the two limits that is used.
func (l limits) share(u runner.Usage) float64 {
	var share float64
	if l.memory > 0 {
		share = float64(u.Memory) / float64(l.memory)
	}
	if l.processes > 0 {
		share = max(share, float64(u.Processes)/float64(l.processes))
	}
	return share
}

// near is from which use on a measurement must be exact.
func (l limits) near() int64 { return int64(float64(l.memory) * recoveredAt) }

// standing is how a backend stands when it is measured.
type standing struct {
	relieves bool // it can give things up
	told     bool // it knows what to give up; true when it cannot
	busy     bool // turns run on it
}

// observe takes a measurement in and says what to do.
func (p *pressure) observe(now time.Time, name string, u runner.Usage, s standing) action {
	if p.limits.processes > 0 && u.Processes > bombAt*p.limits.processes {
		p.enter(now, p.limits.excess(name, runner.Usage{Processes: u.Processes}), s)
		return actKill
	}
	excess, share := p.limits.excess(name, u), p.limits.share(u)
	urgent := share >= hopelessAt || share >= urgentAt && s.told
	switch {
	case p.reason == "" && excess == "":
		p.settle(now)
		return actNothing
	case p.reason == "":
		p.enter(now, excess, s)
		if s.relieves || !urgent {
			return actNothing
		}
	case share < recoveredAt:
		p.leave(now)
		return actNothing
	case now.Sub(p.stepped) < p.timings.Relief && !urgent:
		return actNothing
	}
	if excess != "" {
		p.reason = excess
	}
	return p.step(now, excess != "", s)
}

// step goes on to the next means.
func (p *pressure) step(now time.Time, over bool, s standing) action {
	switch {
	case s.relieves && p.level < backendv1.ReliefLevel_RELIEF_LEVEL_IDLE:
		p.stepped = now
		p.level++
	case over:
		p.stepped = now
		return actStop
	case !s.busy: // what is left is what the backend needs at rest
		p.leave(now)
	}
	return actNothing
}

// enter begins an episode.
func (p *pressure) enter(now time.Time, reason string, s standing) {
	if p.reason != "" {
		p.reason = reason
		return
	}
	p.reason, p.stepped = reason, now
	if s.relieves {
		p.level = max(p.level, backendv1.ReliefLevel_RELIEF_LEVEL_SPARES)
	}
	p.away = min(max(2*p.away, p.timings.ReliefFor), reliefMost)
}

// leave ends an episode. Conversations may be kept again at once, spares later.
func (p *pressure) leave(now time.Time) {
	p.reason = ""
	p.level = min(p.level, backendv1.ReliefLevel_RELIEF_LEVEL_SPARES)
	p.restore = now.Add(p.away)
}

// settle lets spares be kept again when their time has come, and forgets how often
// there was pressure when it has not come back.
func (p *pressure) settle(now time.Time) {
	switch {
	case p.restore.IsZero():
	case now.Before(p.restore):
	case p.level > backendv1.ReliefLevel_RELIEF_LEVEL_NONE:
		p.level = backendv1.ReliefLevel_RELIEF_LEVEL_NONE
		p.restore = now.Add(p.away)
	default:
		p.restore, p.away = time.Time{}, 0
	}
}

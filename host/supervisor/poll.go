package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// poller asks one process how it is. It is used by one goroutine.
type poller struct {
	unit       *unit
	instance   *instance
	misses     int
	lastDeep   time.Time
	lastModels time.Time
	lastHealth backendv1.HealthState
}

// poll asks until ctx ends, or until the process does not answer any more, which
// it reports once.
func (u *unit) poll(ctx context.Context, i *instance, ill chan<- error) {
	p := &poller{unit: u, instance: i, lastHealth: u.snapshot().Health.GetState()}
	ticker := time.NewTicker(u.config.Timings.HealthEvery)
	defer ticker.Stop()
	for {
		p.ask(ctx)
		if p.misses >= missesMost {
			ill <- fmt.Errorf("the plugin did not answer %d health checks in a row", p.misses)
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask does one round: whether the process answers at all, how the backend is, and
// now and then which models it has.
func (p *poller) ask(ctx context.Context) {
	t := p.unit.config.Timings
	deep := p.lastDeep.IsZero() || p.lastHealth != backendv1.HealthState_HEALTH_STATE_READY && time.Since(p.lastDeep) >= t.DeepEvery
	limit := t.HealthDeadline
	if deep {
		p.lastDeep = time.Now()
		limit = max(limit, t.Health)
	}
	var health *backendv1.HealthResponse
	var aliveErr, healthErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		aliveErr = bounded(ctx, t.HealthDeadline, func(ctx context.Context) error { return checkLiveness(ctx, p.instance) })
	})
	wg.Go(func() {
		healthErr = bounded(ctx, limit, func(ctx context.Context) (err error) {
			health, err = p.instance.backend.Health(ctx, &backendv1.HealthRequest{Deep: deep})
			return err
		})
	})
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	// A close look may take long without the process being ill.
	if aliveErr != nil || silent(healthErr) && !deep {
		p.misses++
	} else {
		p.misses = 0
	}
	p.note(health, aliveErr, healthErr)
	p.models(ctx, health)
}

// silent says that there was no answer, good or bad.
func silent(err error) bool {
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Unavailable, codes.Canceled:
		return true
	default:
		return false
	}
}

// note puts what was learned into the status.
func (p *poller) note(health *backendv1.HealthResponse, aliveErr, healthErr error) {
	p.unit.set(func(s *Status) {
		if !s.State.Serves() || s.Generation != p.instance.generation {
			return
		}
		switch {
		case aliveErr != nil:
			s.State, s.LastError = StateDegraded, "the plugin does not answer: "+status.Convert(aliveErr).Message()
		case healthErr != nil:
			s.State, s.LastError = StateDegraded, "the plugin does not tell its health: "+status.Convert(healthErr).Message()
		default:
			s.Health, s.State = health, stateFor(health)
			if s.LastExit == nil {
				s.LastError, s.Remedy = "", ""
			}
		}
	})
}

// models lists them when that is due: they may depend on who is logged in.
func (p *poller) models(ctx context.Context, health *backendv1.HealthResponse) {
	if health == nil {
		return
	}
	changed := health.GetState() != p.lastHealth
	p.lastHealth = health.GetState()
	if !changed && time.Since(p.lastModels) < p.unit.config.Timings.ModelsEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.unit.config.Timings.Models)
	defer cancel()
	models, err := listModels(ctx, p.instance)
	if err != nil {
		if ctx.Err() == nil {
			p.unit.log.Debug("models are not refreshed", "error", err)
		}
		return
	}
	p.lastModels = time.Now()
	p.unit.set(func(s *Status) { s.Models = models })
}

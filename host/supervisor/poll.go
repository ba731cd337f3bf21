package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// poller asks one process how it is. It is used by one goroutine.
type poller struct {
	unit       *unit
	instance   *instance
	wakeModels chan<- struct{}
	misses     int
	lastDeep   time.Time
	lastHealth backendv1.HealthState
}

// poll asks until ctx ends, or until the process does not answer any more, which
// it reports once.
func (u *unit) poll(ctx context.Context, i *instance, ill chan<- error) {
	before := u.snapshot()
	wake := make(chan struct{}, 1)
	if before.Models == nil || before.Restarts > 0 {
		wake <- struct{}{} // there are none, or they are another process's
	}
	p := &poller{unit: u, instance: i, wakeModels: wake, lastHealth: before.Health.GetState()}
	var models sync.WaitGroup
	models.Go(func() { u.keepModels(ctx, i, wake) })
	defer models.Wait()
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

// ask does one round: whether the process answers at all, and how the backend is.
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
			health, err = p.instance.backend.Health(ctx, &backendv1.HealthRequest{Deep: deep}, grpc.MaxCallRecvMsgSize(maxReport))
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
	if health == nil || health.GetState() == p.lastHealth {
		return
	}
	p.unit.log.Info("backend health", "before", p.lastHealth.String(), "now", health.GetState().String(),
		"message", health.GetMessage(), "remedy", health.GetRemedy())
	p.lastHealth = health.GetState()
	select {
	case p.wakeModels <- struct{}{}:
	default: // it is awake
	}
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
			s.State, s.LastError = StateDegraded, "the plugin does not answer: "+told(aliveErr)
		case healthErr != nil:
			s.State, s.LastError = StateDegraded, "the plugin does not tell its health: "+told(healthErr)
		default:
			s.Health, s.State = health, stateFor(health)
			if s.LastExit == nil {
				s.LastError, s.Remedy = "", ""
			}
		}
	})
}

// keepModels lists the models now and then, and when woken: they may depend on who
// is logged in. It ends with ctx.
func (u *unit) keepModels(ctx context.Context, i *instance, wake <-chan struct{}) {
	ticker := time.NewTicker(u.config.Timings.ModelsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-wake:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		limited, cancel := context.WithTimeout(ctx, u.config.Timings.Models)
		models, err := listModels(limited, i)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			u.log.Debug("models are not refreshed", "error", err)
		default:
			u.set(func(s *Status) { s.Models = models })
		}
	}
}

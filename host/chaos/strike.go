package chaos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/supervisor"
)

// hit is one fault of the plugin.
type hit struct {
	at      time.Time // shortly before the signal
	gone    time.Time // the host gives the process no more turns
	serving time.Time // the first turn afterwards was answered
	stopped bool      // SIGSTOP; false: SIGKILL
}

// stopShare is how many of the faults are a SIGSTOP, because it takes seconds: one
// in eight, and the last one when there was none before.
const stopShare = 8

// strike kills and stops the backend's plugin until the deadline, and at least once
// each. After each fault it waits until the backend serves again.
func (r *run) strike(ctx context.Context, w *world, deadline time.Time) ([]hit, error) {
	var hits []hit
	for stops := 0; stops == 0 || time.Now().Before(deadline); {
		wait := time.NewTimer(time.Duration(float64(r.config.KillEvery) * (0.5 + r.random.Float64())))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		}
		if err := r.awaitVictims(ctx, w); err != nil {
			return nil, err
		}
		stop := len(hits)%stopShare == stopShare-1 || len(hits) > 0 && time.Now().After(deadline)
		h, err := r.hit(ctx, w, stop)
		if err != nil {
			return nil, err
		}
		if stop {
			stops++
		}
		hits = append(hits, h)
		if h.serving.IsZero() {
			break // there is nothing left to hit
		}
	}
	return hits, nil
}

// awaitVictims waits until a turn of the backend is in mid-answer, where some last
// long enough for that.
func (r *run) awaitVictims(ctx context.Context, w *world) error {
	if r.config.Clients < 2 || !w.hasModel(r.config.Backend, slowModel) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	_ = until(waiting, func() bool { return w.speaking.Load() > 0 }) // a fault without victims is one as well
	return ctx.Err()
}

// recoveryLimit is when a backend that does not come back is given up.
const recoveryLimit = time.Minute

// hit makes one fault and follows it until the backend serves again; when it does
// not, serving stays zero.
func (r *run) hit(ctx context.Context, w *world, stop bool) (hit, error) {
	recovering, cancel := context.WithTimeout(ctx, recoveryLimit)
	defer cancel()
	before, err := w.await(recovering, r.config.Backend, func(b engine.BackendInfo) bool { return b.Serving })
	if err != nil {
		return hit{}, err
	}
	signal := os.Signal(syscall.SIGKILL)
	if stop {
		signal = stopSignal
	}
	h := hit{stopped: stop, at: time.Now()}
	if err := send(before.PID, signal); err != nil {
		return hit{}, err
	}
	if _, err := w.await(recovering, r.config.Backend, func(b engine.BackendInfo) bool { return b.PID != before.PID }); err != nil {
		return hit{}, err
	}
	h.gone = time.Now()
	for recovering.Err() == nil {
		o := w.ask(recovering, question{model: r.config.Backend})
		if o.kind == answered {
			h.serving = o.end
			break
		}
		if recovering.Err() == nil {
			r.probes.add(o)
		}
		select {
		case <-time.After(pace):
		case <-recovering.Done():
		}
	}
	return h, ctx.Err()
}

func send(pid int, signal os.Signal) error {
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Signal(signal)
		_ = p.Release() // a handle only
	}
	if err != nil {
		return fmt.Errorf("sending %v to the plugin: %w", signal, err)
	}
	return nil
}

// crashes is how many of them in ten minutes lead to quarantine.
const crashes = 5

// quarantine is the second server: the plugin is killed until it is quarantined, and
// restarted by hand.
func (r *run) quarantine(ctx context.Context) error {
	w, err := r.open(ctx, quarantineTimings)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }() // the error of the first call counts
	q := &r.report.Quarantine
	backend := r.config.Backend
	for range crashes {
		info, err := w.await(ctx, backend, func(b engine.BackendInfo) bool { return b.Serving })
		if err != nil {
			return err
		}
		if err := send(info.PID, syscall.SIGKILL); err != nil {
			return err
		}
		q.Crashes++
		after, err := w.await(ctx, backend, func(b engine.BackendInfo) bool {
			return b.PID != info.PID && (b.Serving || b.State == string(supervisor.StateQuarantined))
		})
		if err != nil {
			return err
		}
		q.State = after.State
		if !after.Serving {
			break
		}
	}
	refused := w.ask(ctx, question{model: backend})
	q.Refused, q.Error = refused.kind == failed, refused.text
	began := time.Now()
	if err := w.host.Restart(ctx, backend); err != nil {
		return err
	}
	r.report.Start = max(r.report.Start, millis(time.Since(began)))
	o := w.ask(ctx, question{model: backend})
	q.Cleared = o.kind == answered
	return cmp.Or(ctx.Err(), w.close())
}

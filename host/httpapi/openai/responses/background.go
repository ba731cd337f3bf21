package responses

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
	"github.com/clinvk/clinvk/host/store"
)

// begin starts a response in the background: it outlives its request. Its id is its
// own, because the engine may not have taken the turn yet.
func (d *Dialect) begin(w http.ResponseWriter, r *http.Request, q *request) error {
	ignored, err := d.config.Engine.Check(&q.turn)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	record, err := newRecord(q, idPrefix+hex.EncodeToString(id[:]), q.turn.Model)
	if err != nil {
		return err
	}
	record.Status, record.Lease = statusQueued, time.Now().Add(leaseTime)
	e := newEncoder(q, record, true)
	e.ended = func(record *store.Response) { d.finish(r.Context(), record) }
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	run := &run{id: record.ID, owner: record.Owner, runs: d.runs, cancel: cancel, encoder: e, news: make(chan struct{})}
	if err := d.runs.add(run, len(record.Input)+len(record.Settings)); err != nil {
		cancel()
		return err
	}
	if err := d.config.Store.SaveResponse(r.Context(), record); err != nil {
		cancel()
		d.runs.forget(run)
		d.runs.over(run)
		return err
	}
	run.update(func(e *encoder, b []byte) []byte { return e.Begin(b) })
	queued := run.object()
	httpapi.SetIgnored(w.Header(), q.words(ignored))
	go func() {
		defer d.runs.over(run)
		stop := d.vouch(ctx, run)
		defer stop()
		run.work(ctx, d.config.Engine, &q.turn)
	}()
	if q.stream {
		return follow(w, r, run, -1)
	}
	wire.Write(w, http.StatusOK, queued)
	return nil
}

// vouch renews the lease of a response until stop is called, which waits. A response
// that another process has cancelled or deleted meanwhile is ended.
func (d *Dialect) vouch(ctx context.Context, run *run) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(leaseRenew)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				d.renew(ctx, run)
			}
		}
	}()
	return func() { cancel(); <-done }
}

func (d *Dialect) renew(ctx context.Context, run *run) {
	err := d.config.Store.RenewResponse(ctx, run.id, time.Now().Add(leaseTime))
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrNotFound):
		run.abort()
	default:
		d.config.Logger.Warn("a response's lease was not renewed", "response", run.id, "error", err)
	}
}

// Stop ends the responses in the background, as failed, and takes no more. It returns
// when they are saved, or with ctx.
func (d *Dialect) Stop(ctx context.Context) error { return d.runs.stop(ctx) }

// heartbeat is how long a stream that is followed may be quiet.
const heartbeat = 15 * time.Second

var errTooSlow = errors.New("the client was too slow for the events that are kept")

// tooSlow is the last event of a stream that is not whole.
func tooSlow(number int) []byte {
	b := wire.AppendInt(nil, "event: error\ndata: "+`{"type":"error","sequence_number":`, int64(number+1))
	b = wire.AppendString(append(b, `,"code":"events_lost","message":`...), errTooSlow.Error()+"; get the response without stream")
	return append(b, ",\"param\":null}\n\n"...)
}

// follow writes the events after a number, and then those that come.
func follow(w http.ResponseWriter, r *http.Request, run *run, number int) error {
	if _, _, gone := run.after(number); gone {
		return engine.Errorf(engine.CodeConflict, "the events after %d are not kept any more; get the response without stream", number)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	control := http.NewResponseController(w)
	for {
		events, news, gone := run.after(number)
		if gone {
			_, err := w.Write(tooSlow(number))
			return errors.Join(errTooSlow, err)
		}
		for _, event := range events {
			if _, err := w.Write(event); err != nil {
				return err
			}
		}
		number += len(events)
		if err := control.Flush(); err != nil {
			return err
		}
		if news == nil {
			return nil
		}
		select {
		case <-news:
		case <-r.Context().Done():
			return r.Context().Err()
		case <-ticker.C:
			if _, err := w.Write([]byte(": keep-alive\n\n")); err != nil {
				return err
			}
		}
	}
}

// cancel answers POST /responses/{id}/cancel. One that is over stays as it is.
func (d *Dialect) cancel(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	record, err := d.find(r, p)
	if err != nil {
		return err
	}
	if !record.Background {
		return httpapi.Errorf(http.StatusBadRequest, "response %s was not made in the background; only such ones can be cancelled", record.ID)
	}
	if run := d.runs.find(record.Owner, record.ID); run != nil {
		run.abort()
		wire.Write(w, http.StatusOK, run.object())
		return nil
	}
	if !record.Lease.IsZero() {
		err := d.cancelElsewhere(r, record)
		if errors.Is(err, store.ErrNotFound) { // it ended, or was deleted, just now
			record, err = d.find(r, p)
		}
		if err != nil {
			return err
		}
	}
	wire.Write(w, http.StatusOK, appendObject(nil, record, true))
	return nil
}

// cancelElsewhere cancels a response that another process works on, which notices when
// it vouches for it the next time. What there is of the answer is lost.
func (d *Dialect) cancelElsewhere(r *http.Request, record *store.Response) error {
	record.Status, record.Lease, record.Completed = statusCancelled, time.Time{}, time.Now().Truncate(time.Second)
	return d.config.Store.EndResponse(r.Context(), record)
}

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
	e.ended = func(record *store.Response) { d.save(r.Context(), record) }
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	run := &run{id: record.ID, owner: record.Owner, cancel: cancel, encoder: e, news: make(chan struct{})}
	if err := d.config.Store.SaveResponse(r.Context(), record); err != nil {
		cancel()
		return err
	}
	run.update(func(e *encoder, b []byte) []byte { return e.Begin(b) })
	queued := run.object()
	if err := d.runs.add(run); err != nil {
		cancel()
		run.fail(err)
		return err
	}
	go func() {
		defer d.runs.over(run)
		stop := d.vouch(ctx, run.id)
		defer stop()
		run.work(ctx, d.config.Engine, &q.turn)
	}()
	if q.stream {
		return follow(w, r, run, -1)
	}
	wire.Write(w, http.StatusOK, queued)
	return nil
}

// vouch renews the lease of a response until stop is called, which waits.
func (d *Dialect) vouch(ctx context.Context, id string) (stop func()) {
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
				if err := d.config.Store.RenewResponse(ctx, id, time.Now().Add(leaseTime)); err != nil && ctx.Err() == nil {
					d.config.Logger.Warn("a response's lease was not renewed", "response", id, "error", err)
				}
			}
		}
	}()
	return func() { cancel(); <-done }
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
		return engine.Errorf(engine.CodeConflict, "response %s is in progress in another process of clinvk; cancel it there", record.ID)
	}
	wire.Write(w, http.StatusOK, appendObject(nil, record, true))
	return nil
}

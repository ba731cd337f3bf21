package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Feed is a response that several turns write to as they go on. Its methods may be
// called concurrently.
type Feed struct {
	mu        sync.Mutex
	w         http.ResponseWriter
	control   *http.ResponseController
	heartbeat []byte
	gone      context.CancelCauseFunc
	last      time.Time
	stop      chan struct{}
	done      chan struct{}
}

var errClientGone = errors.New("the client is gone")

// NewFeed begins the response. heartbeat is sent when nothing else was for a while.
// The context ends when the client cannot be written to any more. The caller must
// Close the feed before its handler returns.
func NewFeed(ctx context.Context, w http.ResponseWriter, contentType string, heartbeat []byte) (*Feed, context.Context) {
	ctx, gone := context.WithCancelCause(ctx)
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	f := &Feed{
		w: w, control: http.NewResponseController(w), heartbeat: heartbeat, gone: gone,
		last: time.Now(), stop: make(chan struct{}), done: make(chan struct{}),
	}
	f.flush()
	go f.beat()
	return f, ctx
}

// Write sends b at once.
func (f *Feed) Write(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = time.Now()
	if _, err := f.w.Write(b); err != nil {
		f.gone(errClientGone)
		return
	}
	f.flush()
}

func (f *Feed) flush() {
	if err := f.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		f.gone(errClientGone)
	}
}

// beat sends heartbeats until Close.
func (f *Feed) beat() {
	defer close(f.done)
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-f.stop:
			return
		case <-ticker.C:
			f.mu.Lock()
			quiet := time.Since(f.last) >= heartbeat
			f.mu.Unlock()
			if quiet {
				f.Write(f.heartbeat)
			}
		}
	}
}

// Close ends the heartbeats.
func (f *Feed) Close() {
	close(f.stop)
	<-f.done
	f.gone(nil)
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"syscall"
	"time"

	"github.com/clinvk/clinvk/host/client"
)

// softTime is how long turns may take to end after a signal. The server cuts them off
// after half of it.
const softTime = 10 * time.Second

// hangupTime is how long after its terminal a process may hear of that.
const hangupTime = time.Second

// interrupted is what turns were that were ended by a signal.
type interrupted struct{}

func (interrupted) Error() string { return "interrupted" }

func (interrupted) Unwrap() error { return context.Canceled }

// softly runs a request whose turns end properly when ctx does, or the terminal goes
// away: the server is asked to cancel them, so that what there is of the answers comes.
// When that does not work, the request is cut off.
func softly(ctx context.Context, c *connection, run func(context.Context) error) error {
	ctx, stop := untilHangup(ctx)
	defer stop()
	if c.RequestID == "" {
		c.RequestID = "cli-" + rand.Text()
	}
	whole, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	ended := make(chan struct{})
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		select {
		case <-ended:
		case <-ctx.Done():
			c.cancel(context.WithoutCancel(ctx), ended, cut)
		}
	}()
	err := run(whole)
	if errors.Is(err, syscall.EIO) { // of a terminal that goes away, which its signal says too
		select {
		case <-ctx.Done():
		case <-time.After(hangupTime):
		}
	}
	close(ended)
	<-asked
	if _, told := errors.AsType[*client.Error](err); ctx.Err() != nil && !told {
		return interrupted{} // whatever else went wrong: the terminal may be gone
	}
	return err
}

// cancel cancels what runs for the connection's requests, and cuts them off when
// nothing does yet or the end does not come.
func (c *connection) cancel(ctx context.Context, ended <-chan struct{}, cut context.CancelCauseFunc) {
	late := time.AfterFunc(softTime, func() { cut(interrupted{}) })
	defer late.Stop()
	ctx, cancel := context.WithTimeout(ctx, softTime)
	defer cancel()
	if err := c.Post(ctx, "/api/v1/requests/"+url.PathEscape(c.RequestID)+"/cancel", nil, &struct{}{}); err != nil {
		cut(interrupted{})
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"time"
)

// How long a turn may take to end after a signal, and how long the server may take to
// say which one it is.
const (
	softTime = 10 * time.Second
	findTime = 2 * time.Second
)

// interrupted is a turn that was ended by a signal.
type interrupted struct{}

func (interrupted) Error() string { return "interrupted" }

func (interrupted) Unwrap() error { return context.Canceled }

// softly runs a turn that ends properly when ctx does: the server is asked to cancel it,
// so that what there is of the answer comes. When that does not work, the request is
// cut off.
func softly(ctx context.Context, c *connection, run func(context.Context) error) error {
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
			c.cancelTurn(context.WithoutCancel(ctx), ended, cut)
		}
	}()
	err := run(whole)
	close(ended)
	<-asked
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return interrupted{}
	}
	return err
}

// cancelTurn cancels what runs for the connection's requests, and cuts them off when
// nothing does yet or the end does not come.
func (c *connection) cancelTurn(ctx context.Context, ended <-chan struct{}, cut context.CancelCauseFunc) {
	if err := c.cancelExecutions(ctx); err != nil {
		cut(interrupted{})
		return
	}
	late := time.NewTimer(softTime)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		cut(interrupted{})
	}
}

// cancelExecutions fails when there are none.
func (c *connection) cancelExecutions(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, softTime)
	defer cancel()
	find, stop := context.WithTimeout(ctx, findTime)
	defer stop()
	var list struct{ Executions []struct{ ID, State string } }
	if err := c.Get(find, "/api/v1/executions?request_id="+url.QueryEscape(c.RequestID), &list); err != nil {
		return err
	}
	if len(list.Executions) == 0 {
		return errors.New("nothing runs")
	}
	for _, x := range list.Executions {
		if x.State != "queued" && x.State != "running" {
			continue
		}
		if err := c.Post(ctx, "/api/v1/executions/"+url.PathEscape(x.ID)+"/cancel", nil, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

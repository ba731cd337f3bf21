package main

import "context"

// onHangup does nothing: there is no such signal here.
func onHangup(_, _ func()) (stop func()) { return func() {} }

// untilHangup is ctx: there is no such signal here.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }

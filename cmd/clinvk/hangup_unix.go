//go:build unix

package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// onHangup makes SIGHUP call reload instead of ending the process, until stop is
// called. A SIGHUP that says that the terminal is gone calls gone, once: a server
// in a window that is closed ends with it, unless it was started by nohup.
func onHangup(reload, gone func()) (stop func()) {
	attached := hasTerminal() && !signal.Ignored(syscall.SIGHUP)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	done := make(chan struct{})
	var listener sync.WaitGroup
	listener.Go(func() {
		for {
			select {
			case <-signals:
				if attached && !hasTerminal() {
					gone()
					return
				}
				reload()
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		listener.Wait()
	}
}

// untilHangup is ctx until SIGHUP says that the terminal is gone. Commands that were
// started by nohup go on without it.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// hasTerminal says whether the process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	_ = f.Close() // nothing was written
	return true
}

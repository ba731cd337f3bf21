//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"
)

func TestHangupReloads(t *testing.T) {
	reloads := make(chan struct{}, 10)
	stop := onHangup(func() { reloads <- struct{}{} }, func() { t.Error("ended") })
	for range 2 {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reloads:
		case <-time.After(10 * time.Second):
			t.Fatal("nothing was reloaded")
		}
	}
	stop()
}

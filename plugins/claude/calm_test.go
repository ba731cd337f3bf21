package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calm
		waited := func() time.Duration {
			begin := time.Now()
			c.wait(t.Context(), time.Second)
			return time.Since(begin)
		}
		if d := waited(); d != 0 {
			t.Errorf("waited %v for nobody", d)
		}
		first, second := c.enter(), c.enter()
		if d := waited(); d != time.Second {
			t.Errorf("waited %v, want the limit", d)
		}
		time.AfterFunc(100*time.Millisecond, first)
		time.AfterFunc(200*time.Millisecond, func() { first(); second() })
		if d := waited(); d != 200*time.Millisecond {
			t.Errorf("waited %v for two turns, want 200ms", d)
		}
		c.enter()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		c.wait(ctx, time.Second)
		if d := time.Since(begin); d != 50*time.Millisecond {
			t.Errorf("waited %v beyond the context", d)
		}
	})
}

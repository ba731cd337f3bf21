package subprocess

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type item struct {
	n    int
	dead chan struct{}
}

type factory struct {
	mu      sync.Mutex
	started int
	stopped int
	err     error
	delay   time.Duration
	now     atomic.Int32
	peak    atomic.Int32
}

func (f *factory) config(size int) PoolConfig[*item] {
	return PoolConfig[*item]{
		Size: size, MaxStarting: 2,
		Start: func(ctx context.Context) (*item, error) {
			n := f.now.Add(1)
			defer f.now.Add(-1)
			f.peak.Store(max(f.peak.Load(), n))
			select {
			case <-time.After(f.delay):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.err != nil {
				return nil, f.err
			}
			f.started++
			return &item{n: f.started, dead: make(chan struct{})}, nil
		},
		Stop: func(*item) { f.mu.Lock(); f.stopped++; f.mu.Unlock() },
		Dead: func(i *item) <-chan struct{} { return i.dead },
	}
}

func TestPoolKeepsSpares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{delay: time.Second}
		p := NewPool(f.config(2))
		time.Sleep(1500 * time.Millisecond) // the bubble's clock
		if p.Idle() != 2 {
			t.Fatalf("idle = %d", p.Idle())
		}
		begin := time.Now()
		if _, err := p.Take(t.Context()); err != nil || time.Since(begin) != 0 {
			t.Fatalf("a spare took %v, %v", time.Since(begin), err)
		}
		time.Sleep(1500 * time.Millisecond)
		if p.Idle() != 2 {
			t.Errorf("not refilled: %d", p.Idle())
		}
		p.Close()
		if f.stopped != 2 {
			t.Errorf("stopped %d of 2 spares", f.stopped)
		}
		if _, err := p.Take(t.Context()); !errors.Is(err, ErrPoolClosed) {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestPoolBoundsStartsAndServesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{delay: time.Second}
		p := NewPool(f.config(0))
		defer p.Close()
		var wg sync.WaitGroup
		var seen sync.Map
		for range 10 {
			wg.Go(func() {
				i, err := p.Take(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(i.n, true); twice {
					t.Errorf("item %d was given twice", i.n)
				}
			})
		}
		wg.Wait()
		if got := f.peak.Load(); got != 2 {
			t.Errorf("%d starts at a time", got)
		}
	})
}

func TestPoolReplacesTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{}
		p := NewPool(f.config(1))
		defer p.Close()
		synctest.Wait()
		p.mu.Lock()
		first := p.idle[0].value
		p.mu.Unlock()
		close(first.dead)
		synctest.Wait()
		i, err := p.Take(t.Context())
		if err != nil || i == first {
			t.Fatalf("got the dead spare, or %v", err)
		}
	})
}

func TestPoolBacksOffButTellsTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		f := &factory{err: boom}
		p := NewPool(f.config(1))
		defer p.Close()
		synctest.Wait()
		if _, err := p.Take(t.Context()); !errors.Is(err, boom) {
			t.Fatalf("err = %v", err)
		}
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		if _, err := p.Take(t.Context()); err != nil {
			t.Fatalf("a caller must not wait for the backoff: %v", err)
		}
		time.Sleep(time.Minute)
		if p.Idle() != 1 {
			t.Errorf("the pool did not recover")
		}
	})
}

func TestPoolTakeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{delay: time.Minute}
		p := NewPool(f.config(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("err = %v", err)
		}
		p.Close()
	})
}

func TestPoolDropsSparesAndKeepsThemAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &factory{delay: time.Second}
		p := NewPool(f.config(2))
		defer p.Close()
		time.Sleep(1500 * time.Millisecond) // the bubble's clock
		taken, err := p.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p.Drop() // one is ready, one is being started
		time.Sleep(10 * time.Second)
		f.mu.Lock()
		stopped := f.stopped
		f.mu.Unlock()
		if p.Idle() != 0 || stopped != 2 {
			t.Errorf("%d idle, %d stopped", p.Idle(), stopped)
		}
		begin := time.Now()
		next, err := p.Take(t.Context())
		if err != nil || next == taken || time.Since(begin) != time.Second {
			t.Errorf("a new one took %v, %v", time.Since(begin), err)
		}
		time.Sleep(10 * time.Second)
		if p.Idle() != 0 {
			t.Errorf("%d idle after it", p.Idle())
		}
		p.Keep()
		time.Sleep(1500 * time.Millisecond)
		if p.Idle() != 2 {
			t.Errorf("%d idle again", p.Idle())
		}
	})
}

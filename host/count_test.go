package host

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// countingStore takes its time to count.
type countingStore struct {
	n     int
	took  time.Duration
	err   error
	asked int
}

func (s *countingStore) CountSessions(ctx context.Context) (int, error) {
	s.asked++
	select {
	case <-time.After(s.took):
		return s.n, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func TestSessionCount(t *testing.T) {
	expect := func(t *testing.T, c *sessionCount, n int, known bool) {
		t.Helper()
		begin := time.Now()
		if got, ok := c.SessionCount(); got != n || ok != known {
			t.Errorf("%d %v, want %d %v", got, ok, n, known)
		}
		if took := time.Since(begin); took > countWait {
			t.Errorf("who asked waited %v", took)
		}
	}
	t.Run("no store", func(t *testing.T) { expect(t, &sessionCount{}, 0, false) })
	t.Run("quick store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &countingStore{n: 3}
			c := &sessionCount{store: s}
			expect(t, c, 3, true)
			s.n = 4
			expect(t, c, 3, true) // from memory
			time.Sleep(countAge)
			expect(t, c, 4, true)
			if c.wait(); s.asked != 2 {
				t.Errorf("the store was asked %d times", s.asked)
			}
		})
	})
	t.Run("slow store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &countingStore{n: 3, took: time.Second}
			c := &sessionCount{store: s}
			expect(t, c, 0, false)
			expect(t, c, 0, false)
			time.Sleep(time.Second)
			synctest.Wait()
			expect(t, c, 3, true)
			if c.wait(); s.asked != 1 {
				t.Errorf("the store was asked %d times", s.asked)
			}
		})
	})
	t.Run("store that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := &sessionCount{store: &countingStore{n: 3, took: time.Hour}}
			expect(t, c, 0, false)
			c.wait() // ends, and so does Stop
		})
	})
	t.Run("store that fails", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &countingStore{n: 3}
			c := &sessionCount{store: s}
			expect(t, c, 3, true)
			s.n, s.err = 0, errors.New("disk")
			time.Sleep(countAge)
			expect(t, c, 0, false)
			c.wait()
		})
	})
}

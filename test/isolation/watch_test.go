//go:build linux

package isolation_test

import (
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"testing"
	"time"
)

// What a fault may cost the host.
const (
	growthMost = 48 << 20                         // bytes of memory, at the worst moment
	probeMost  = slowness * 50 * time.Millisecond // for an answer of /health
	probeEvery = 10 * time.Millisecond
	// strayProbes is how many probes, and strayShare which part of them, may be late
	// for reasons of their own, on top of twice as many as those of a bare server in
	// another process: this test shares a few cores with the plugins that it makes spin,
	// and with other tests.
	strayProbes = 2
	strayShare  = 1. / 200
)

// watch measures what a fault does to a host: memory, and how /health answers.
type watch struct {
	w      *world
	stop   chan struct{}
	wg     sync.WaitGroup
	base   uint64
	peak   uint64
	probes []time.Duration
	bare   string
	slow   int   // probes of the bare server over probeMost
	failed error // of a probe
}

// watch begins to measure. What was there before is collected first.
func (w *world) watch(t testing.TB) *watch {
	t.Helper()
	bare := bareURL(t)
	runtime.GC()
	runtime.GC() // finalizers and pools take two
	m := &watch{w: w, bare: bare, stop: make(chan struct{}), base: inUse()}
	m.wg.Go(m.sample)
	m.wg.Go(m.probe)
	return m
}

// inUse is the memory that Go's heap and stacks occupy, garbage that was not
// collected yet included. The client of the tests is in the same process and
// counts as well. What the race detector needs does not.
func inUse() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	sum := uint64(0)
	for _, s := range samples {
		sum += s.Value.Uint64()
	}
	return sum
}

func (m *watch) sample() {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		m.peak = max(m.peak, inUse())
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
	}
}

func (m *watch) probe() {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		m.probes = append(m.probes, m.ask(client, m.w.url+"/health"))
		if m.ask(client, m.bare) > probeMost {
			m.slow++
		}
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
	}
}

// ask is how long an answer takes.
func (m *watch) ask(client *http.Client, url string) time.Duration {
	began := time.Now()
	resp, err := client.Get(url)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err != nil {
		m.failed = err
	}
	return time.Since(began)
}

// costs of a fault.
type costs struct {
	growth int64 // of memory in use, at its peak
	worst  time.Duration
	probes int
	late   int // probes over probeMost
	slow   int // those of the bare server
}

// end stops measuring and says what it cost. A /health without an answer fails
// the test.
func (m *watch) end(t testing.TB) costs {
	t.Helper()
	close(m.stop)
	m.wg.Wait()
	if m.failed != nil {
		t.Errorf("/health: %v", m.failed)
	}
	c := costs{growth: int64(m.peak) - int64(m.base), worst: slices.Max(m.probes), probes: len(m.probes), slow: m.slow}
	for _, p := range m.probes {
		if p > probeMost {
			c.late++
		}
	}
	return c
}

// cheap says that the host hardly noticed.
func (c costs) cheap() bool { return c.growth < growthMost && c.prompt() }

// prompt says that /health answered in time.
func (c costs) prompt() bool { return c.late <= c.lateMost() }

// lateMost is how many probes may be late.
func (c costs) lateMost() int {
	return 2*c.slow + max(strayProbes, int(strayShare*float64(c.probes)))
}

// attempts is how often a fault may be tried: on a busy machine the numbers of one
// try say little, three bad ones say all.
const attempts = 3

// cheaply runs a fault until its costs are within the bounds; f begins and ends
// the measurement itself.
func cheaply(t *testing.T, f func(t *testing.T) costs) {
	t.Helper()
	for n := 1; ; n++ {
		c := f(t)
		t.Logf("memory %+.1f MB, /health at most %v (%d of %d probes over %v, %d of a bare server)", float64(c.growth)/(1<<20), c.worst.Round(100*time.Microsecond), c.late, c.probes, probeMost, c.slow)
		if c.cheap() || t.Failed() {
			return
		}
		if n == attempts {
			t.Errorf("it costs too much: at most %d MB and %d late probes are allowed", growthMost>>20, c.lateMost())
			return
		}
	}
}

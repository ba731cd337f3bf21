package main

import (
	"context"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// instance is one running app-server.
type instance struct {
	client  *appserver.Client
	threads *threads
	born    time.Time
	refs    int // guarded by the keeper's mu; the keeper itself holds one
	turns   int // guarded by the keeper's mu
}

func (i *instance) dead() bool {
	select {
	case <-i.client.Gone():
		return true
	default:
		return false
	}
}

// close ends the app-server and waits for its end.
func (i *instance) close() {
	const grace = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if i.dead() {
		i.client.Kill() // it may have closed stdout only
	}
	i.threads.close()
	i.client.Close(ctx)
}

// keeper keeps one app-server ready and hands it out to turns.
type keeper struct {
	// start starts one.
	start func(context.Context) (*instance, error)
	// eager keeps one running also when nobody asks.
	eager bool
	// retired is told about one that no new turn gets; may be nil.
	retired func(*instance)
	// failed gets the errors of starts that nobody waits for.
	failed func(error)

	ctx    context.Context //nolint:containedctx // the life of the keeper's own goroutines
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	relieved bool // keeps nothing running that nobody uses
	current  *instance
	starting *attempt
	all      map[*instance]struct{}
	failures int
}

// attempt is one start that is under way.
type attempt struct {
	done chan struct{}
	err  error
}

// Waits before an app-server is started that nobody asked for, after one that
// failed or ended.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 30 * time.Second
	// settled is how long one must have lived to be restarted at once.
	settled = 5 * time.Second
)

func newKeeper(start func(context.Context) (*instance, error), eager bool, retired func(*instance), failed func(error)) *keeper {
	k := &keeper{start: start, eager: eager, retired: retired, failed: failed, all: map[*instance]struct{}{}}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// prepare starts one in the background.
func (k *keeper) prepare() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed && !k.relieved && k.current == nil {
		k.begin()
	}
}

// get returns a running app-server, to be given back with put.
func (k *keeper) get(ctx context.Context) (*instance, error) {
	for {
		k.mu.Lock()
		if k.closed {
			k.mu.Unlock()
			return nil, errClosed
		}
		if i := k.current; i != nil && !i.dead() {
			i.refs++
			i.turns++
			k.mu.Unlock()
			return i, nil
		}
		a := k.begin()
		k.mu.Unlock()
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// put gives back what get returned.
func (k *keeper) put(i *instance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.release(i)
}

// release drops a reference; the caller holds mu.
func (k *keeper) release(i *instance) {
	i.refs--
	if k.relieved && k.current == i && i.refs == 1 {
		k.current, i.refs = nil, 0 // the keeper's own
	}
	if i.refs == 0 {
		delete(k.all, i)
		k.wg.Go(i.close)
	}
}

// relieve ends what no turn and no conversation uses, and starts nothing ahead of
// need until it is called with false.
func (k *keeper) relieve(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.relieved = on
	for i := range k.all {
		i.threads.relieve(on)
	}
	if i := k.current; on && i != nil {
		i.refs++
		k.release(i) // the last but the keeper's own
	} else if !on && k.eager && i == nil && !k.closed {
		k.begin()
	}
}

// retire lets no new turn have i; it ends with its last turn.
func (k *keeper) retire(i *instance) {
	k.mu.Lock()
	mine := k.current == i
	if mine {
		k.current = nil
		k.release(i)
	}
	k.mu.Unlock()
	if mine && k.retired != nil {
		k.retired(i)
	}
}

// begin starts one unless that is under way; the caller holds mu.
func (k *keeper) begin() *attempt {
	if k.starting != nil {
		return k.starting
	}
	a := &attempt{done: make(chan struct{})}
	k.starting = a
	k.wg.Go(func() {
		defer close(a.done)
		i, err := k.start(k.ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.starting, a.err = nil, err
		if err != nil {
			k.later(err)
			return
		}
		i.born, i.refs = time.Now(), 1
		k.all[i] = struct{}{}
		i.threads.relieve(k.relieved)
		if k.closed {
			k.release(i)
			return
		}
		k.current = i
		k.wg.Go(func() { k.watch(i) })
	})
	return a
}

// watch replaces an instance that ends by itself.
func (k *keeper) watch(i *instance) {
	select {
	case <-i.client.Gone():
	case <-k.ctx.Done():
		return
	}
	k.retire(i)
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(i.born) >= settled {
		k.failures = 0
		if k.eager && !k.relieved && !k.closed && k.current == nil {
			k.begin()
		}
		return
	}
	k.later(nil)
}

// later starts one after a while; the caller holds mu.
func (k *keeper) later(err error) {
	if err != nil && !k.closed && k.failed != nil {
		k.failed(err)
	}
	if k.closed || !k.eager {
		return
	}
	wait := min(firstWait<<min(k.failures, 10), lastWait)
	k.failures++
	k.wg.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			k.prepare()
		case <-k.ctx.Done():
		}
	})
}

// close ends all instances and waits for their ends.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	k.current = nil
	for i := range k.all {
		delete(k.all, i)
		i.refs = -1 // whoever still holds it gives it back in vain
		k.wg.Go(i.close)
	}
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
}

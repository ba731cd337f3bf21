package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
	"github.com/clinvk/clinvk/plugins/subprocess"
)

// maxKinds bounds the kinds of threads that spares are kept of: about 1 MB and
// one connection to the model server for each spare.
const maxKinds = 3

// kind is what cannot be changed about a started thread.
type kind struct{ model, provider string }

// thread is a conversation in an app-server.
type thread struct {
	id       string
	model    string
	provider string
}

// threads starts the chat threads of one app-server, ahead of need where it can.
type threads struct {
	client *appserver.Client
	spares int
	dir    string

	mu     sync.Mutex
	closed bool
	none   bool // keeps no spares for now
	pools  map[kind]*subprocess.Pool[thread]
	recent []kind // least recently used first; also those without a pool
	wg     sync.WaitGroup
}

func newThreads(client *appserver.Client, spares int, dir string) *threads {
	return &threads{client: client, spares: spares, dir: dir, pools: map[kind]*subprocess.Pool[thread]{}}
}

// warm begins to keep spares of a kind.
func (t *threads) warm(k kind) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.touch(k)
	t.open(k)
}

// take returns a fresh thread. Spares of a kind are kept from its second use on,
// so that a mistyped model costs nothing.
func (t *threads) take(ctx context.Context, k kind) (thread, error) {
	t.mu.Lock()
	known := t.touch(k)
	pool := t.pools[k]
	if pool == nil && known {
		pool = t.open(k)
	}
	t.mu.Unlock()
	if pool != nil {
		th, err := pool.Take(ctx)
		if !errors.Is(err, subprocess.ErrPoolClosed) {
			return th, err
		}
	}
	return t.start(ctx, k)
}

// touch makes k the most recently used and says whether it was used before; the
// caller holds mu.
func (t *threads) touch(k kind) (known bool) {
	if i := slices.Index(t.recent, k); i >= 0 {
		t.recent, known = slices.Delete(t.recent, i, i+1), true
	}
	t.recent = append(t.recent, k)
	if over := len(t.recent) - 4*maxKinds; over > 0 {
		t.recent = t.recent[over:]
	}
	return known
}

// open makes the pool of k and gives up the one that was not used for longest;
// the caller holds mu.
func (t *threads) open(k kind) *subprocess.Pool[thread] {
	if t.closed || t.spares <= 0 {
		return nil
	}
	if p := t.pools[k]; p != nil {
		return p
	}
	for len(t.pools) >= maxKinds {
		oldest := slices.MinFunc(t.kinds(), func(a, b kind) int {
			return slices.Index(t.recent, a) - slices.Index(t.recent, b)
		})
		pool := t.pools[oldest]
		delete(t.pools, oldest)
		t.wg.Go(pool.Close)
	}
	p := subprocess.NewPool(subprocess.PoolConfig[thread]{
		Size:  t.spares,
		Start: func(ctx context.Context) (thread, error) { return t.start(ctx, k) },
		Stop:  t.drop,
	})
	if t.none {
		p.Drop()
	}
	t.pools[k] = p
	return p
}

// relieve ends the spares and keeps none until it is called with false.
func (t *threads) relieve(none bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.none = none
	for _, p := range t.pools {
		if none {
			p.Drop()
		} else {
			p.Keep()
		}
	}
}

func (t *threads) kinds() []kind {
	out := make([]kind, 0, len(t.pools))
	for k := range t.pools {
		out = append(out, k)
	}
	return out
}

// start starts a thread that holds nothing: no instructions, no environment.
func (t *threads) start(ctx context.Context, k kind) (thread, error) {
	return startThread(ctx, t.client, t.params(k))
}

// withTools starts a thread with tools that the client carries out; tools cannot
// be given to a started thread.
func (t *threads) withTools(ctx context.Context, k kind, tools []object) (thread, error) {
	params := t.params(k)
	params["dynamicTools"], params["experimentalRawEvents"] = tools, true
	return startThread(ctx, t.client, params)
}

func (t *threads) params(k kind) object {
	return object{
		"ephemeral": true, "environments": []any{}, "baseInstructions": "",
		"model": k.model, "modelProvider": k.provider, "cwd": t.dir,
	}
}

// drop frees a thread.
func (t *threads) drop(th thread) {
	// An error means that the process is gone, and the thread with it.
	_ = t.client.Tell("thread/unsubscribe", map[string]any{"threadId": th.id})
}

func (t *threads) close() {
	t.mu.Lock()
	t.closed = true
	pools := t.pools
	t.pools = nil
	t.mu.Unlock()
	for _, p := range pools {
		t.wg.Go(p.Close)
	}
	t.wg.Wait()
}

func startThread(ctx context.Context, client *appserver.Client, params object) (thread, error) {
	return askThread(ctx, client, "thread/start", params)
}

// askThread makes or loads a thread, or neither when ctx ends.
func askThread(ctx context.Context, client *appserver.Client, method string, params object) (thread, error) {
	var started struct {
		Model    string `json:"model"`
		Provider string `json:"modelProvider"`
		Thread   struct {
			ID string `json:"id"`
		} `json:"thread"`
	}
	// The thread's id is needed to give it up, so the request outlives ctx for a moment.
	graced, cancel := grace(ctx, stopTime)
	defer cancel()
	if err := patiently(graced, func() error { return client.Call(graced, method, params, &started) }); err != nil {
		return thread{}, err
	}
	th := thread{id: started.Thread.ID, model: started.Model, provider: started.Provider}
	if ctx.Err() != nil {
		leave(client, opened{thread: th, kept: params["ephemeral"] == nil, made: method != "thread/resume"})
		return thread{}, context.Cause(ctx)
	}
	return th, nil
}

// patiently repeats a request that the app-server had no room for, or not yet.
func patiently(ctx context.Context, call func() error) error {
	const tries, wait = 40, 50 * time.Millisecond
	for try := 1; ; try++ {
		err := call()
		rpc, ok := errors.AsType[*appserver.RPCError](err)
		if !ok || !rpc.Overloaded() && !rpc.Closing() || try == tries {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}

package session

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// Bounds of what backends are asked to forget behind their clients' backs. What is given
// up leaves a file that nothing refers to.
const (
	// forgetTime is how long a backend may take, the wait for its process included.
	forgetTime = 10 * time.Second
	// maxRetired is how many sessions may be under way at a time.
	maxRetired = 64
)

// retire is forget after the turn that made the backend's session useless: an answer must
// not wait for it.
func (k *Keeper) retire(id, backend string, token []byte) {
	if len(token) > 0 && !k.retired.add(id, backend, token) {
		k.log.Warn("the backend's own part of a session was not deleted: too much is being deleted, or the server stops",
			"session", id, "backend", backend)
	}
}

// retired are the backends' own sessions that count no more and are being forgotten.
type retired struct {
	forget func(ctx context.Context, id, backend string, token []byte)
	ctx    context.Context //nolint:containedctx // that of all forgetting; ends with stop
	cancel context.CancelFunc

	mu      sync.Mutex
	pending []*retiring
	stopped bool
	running sync.WaitGroup
}

// retiring is a backend's session that is being forgotten.
type retiring struct {
	id, backend string
	done        chan struct{}
}

func newRetired(forget func(ctx context.Context, id, backend string, token []byte)) *retired {
	r := &retired{forget: forget}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// add has a backend forget its own session soon. It says whether it will: not when there
// is too much of that, or after stop.
func (r *retired) add(id, backend string, token []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || len(r.pending) >= maxRetired {
		return false
	}
	p := &retiring{id: id, backend: backend, done: make(chan struct{})}
	r.pending = append(r.pending, p)
	r.running.Go(func() {
		defer r.remove(p)
		ctx, cancel := context.WithTimeout(r.ctx, forgetTime)
		defer cancel()
		r.forget(ctx, id, backend, token)
	})
	return true
}

func (r *retired) remove(p *retiring) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = slices.DeleteFunc(r.pending, func(other *retiring) bool { return other == p })
	close(p.done)
}

// wait returns when a backend forgets nothing of a session any more, or with the end of
// ctx. The turn that comes next must not begin before: a process of the backend may
// still hold the conversation, and would go on with files that are being deleted.
func (r *retired) wait(ctx context.Context, id, backend string) error {
	r.mu.Lock()
	pending := slices.Clone(r.pending)
	r.mu.Unlock()
	for _, p := range pending {
		if p.id != id || p.backend != backend {
			continue
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return engine.AsError(context.Cause(ctx))
		}
	}
	return nil
}

// stop takes no more, waits for what is under way until ctx ends, and gives up what is
// left then.
func (r *retired) stop(ctx context.Context) {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	release := context.AfterFunc(ctx, r.cancel)
	defer release()
	r.running.Wait()
	r.cancel()
}

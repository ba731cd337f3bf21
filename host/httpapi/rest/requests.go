package rest

import (
	"net/http"
	"slices"
	"sync"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
)

// requests are those that run several turns, and go on. The zero value has none.
type requests struct {
	mu      sync.Mutex
	running []*several
}

// several is one request that runs several turns.
type several struct {
	owner, id string
	cancel    func() // may be called more than once
}

// begin takes a request in, so that cancel ends its turns, until end is called.
func (rs *requests) begin(r *http.Request, turns []*engine.Turn) (end func()) {
	cancelled := make(chan struct{})
	for _, t := range turns {
		t.Cancelled = cancelled
	}
	s := &several{
		owner: httpapi.Owner(r), id: httpapi.RequestID(r.Context()),
		cancel: sync.OnceFunc(func() { close(cancelled) }),
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.running = append(rs.running, s)
	return func() {
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.running = slices.DeleteFunc(rs.running, func(other *several) bool { return other == s })
	}
}

// cancel cancels all turns of a request, and says whether it knows one. A client may
// use an id for more than one.
func (rs *requests) cancel(owner, id string) (found bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, s := range rs.running {
		if s.owner == owner && s.id == id {
			s.cancel()
			found = true
		}
	}
	return found
}

// cancelRequest ends what a request runs; the body is of no interest.
func (d *Dialect) cancelRequest(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	owner, id := httpapi.Owner(r), p.ByName("id")
	found := d.requests.cancel(owner, id)
	f := engine.Filter{RequestID: id}
	var ending sync.WaitGroup
	for _, x := range d.engine.Executions(owner, f) {
		if x.State.Over() {
			continue
		}
		found = true
		ending.Go(func() {
			// An error says that it was over by now, or that this request is.
			_, _ = d.engine.Cancel(r.Context(), owner, x.ID)
		})
	}
	ending.Wait()
	if !found {
		return engine.Errorf(engine.CodeNotFound, "nothing runs or waits for a request %q", id)
	}
	d.list(w, r, f)
	return nil
}

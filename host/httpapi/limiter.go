package httpapi

import (
	"container/list"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/clinvk/clinvk/host/engine"
)

// LimiterConfig says how many requests a client may send.
type LimiterConfig struct {
	// Rate is how many a second in the long run; it must be more than 0.
	Rate float64
	// Burst is how many at once; at least 1.
	Burst int
	// Forget is how long a client that asks no more is remembered; 0: 3 min.
	Forget time.Duration
	// Proxies are believed about the addresses of clients.
	Proxies Proxies
}

// maxClients bounds how many clients are remembered: the one that was quiet for longest
// makes room. Each takes about 250 bytes.
const maxClients = 10_000

const defaultForget = 3 * time.Minute

// Limiter bounds the requests of each client: of each API key, or where there is no
// known one of each address. Its methods may be called concurrently.
type Limiter struct {
	config LimiterConfig

	mu      sync.Mutex
	clients map[string]*list.Element // of *client
	recent  *list.List               // the client that asked last is in front
}

type client struct {
	name   string
	bucket *rate.Limiter
	seen   time.Time
}

// NewLimiter makes a limiter without clients.
func NewLimiter(c LimiterConfig) *Limiter {
	if c.Forget <= 0 {
		c.Forget = defaultForget
	}
	return &Limiter{config: c, clients: map[string]*list.Element{}, recent: list.New()}
}

// check refuses a request of a client that has sent too many. Health, and the server's
// own user, are not bounded.
func (l *Limiter) check(r *http.Request, keys *Keys) error {
	if l == nil || local(r.Context()) || isHealth(r) {
		return nil
	}
	wait := l.take(l.nameOf(r, keys), time.Now())
	if wait <= 0 {
		return nil
	}
	e := engine.Errorf(engine.CodeRateLimited, "too many requests: this server takes %g a second of each client (server.rate_limit_rps); try again later", l.config.Rate)
	e.Retryable, e.RetryAfter = true, wait
	return e
}

// nameOf is who sends a request. A known key has a name that no address has; an unknown
// one is no name, or everybody could make some.
func (l *Limiter) nameOf(r *http.Request, keys *Keys) string {
	if keys != nil {
		if key := keys.find(presented(r)); key != nil {
			return "key " + string(key.Hash[:])
		}
	}
	a := l.config.Proxies.client(r)
	if a.Is6() { // one client has a network of them
		const network = 64
		return netip.PrefixFrom(a, network).Masked().String()
	}
	return a.String()
}

// take takes one request off what a client has left, or says how long it must wait.
func (l *Limiter) take(name string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.clients[name]
	if e == nil {
		l.sweep(now)
		e = l.recent.PushFront(&client{name: name, bucket: rate.NewLimiter(rate.Limit(l.config.Rate), max(1, l.config.Burst))})
		l.clients[name] = e
	}
	l.recent.MoveToFront(e)
	c := e.Value.(*client)
	c.seen = now
	r := c.bucket.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// sweep forgets those that were quiet for long, and makes room for one; the caller
// holds mu.
func (l *Limiter) sweep(now time.Time) {
	for e := l.recent.Back(); e != nil; e = l.recent.Back() {
		c := e.Value.(*client)
		if now.Sub(c.seen) < l.config.Forget && len(l.clients) < maxClients {
			return
		}
		l.recent.Remove(e)
		delete(l.clients, c.name)
	}
}

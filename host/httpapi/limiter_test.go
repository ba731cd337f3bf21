package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/apikeys"
)

func TestClientAddress(t *testing.T) {
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::1/128")}
	for _, tt := range []struct {
		name, peer, xff, forwarded, want string
	}{
		{"no proxy", "192.0.2.1:5", "", "", "192.0.2.1"},
		{"a client that says what it likes", "192.0.2.1:5", "198.51.100.7", "for=198.51.100.7", "192.0.2.1"},
		{"a proxy that says nothing", "10.0.0.1:5", "", "", "10.0.0.1"},
		{"a proxy", "10.0.0.1:5", "198.51.100.7", "", "198.51.100.7"},
		{"a client that said something before", "10.0.0.1:5", "1.2.3.4, 198.51.100.7", "", "198.51.100.7"},
		{"two proxies", "10.0.0.1:5", "198.51.100.7, 10.9.9.9", "", "198.51.100.7"},
		{"proxies only", "10.0.0.1:5", "10.0.0.3, 10.9.9.9", "", "10.0.0.3"},
		{"with a port", "10.0.0.1:5", "198.51.100.7:4711", "", "198.51.100.7"},
		{"no address", "10.0.0.1:5", "198.51.100.7, unknown", "", "10.0.0.1"},
		{"forwarded", "10.0.0.1:5", "", `for=1.2.3.4, for="[2001:db8::1]:80";proto=https, By=x;FOR=10.1.1.1`, "2001:db8::1"},
		{"forwarded without for", "10.0.0.1:5", "", "for=1.2.3.4, proto=https", "10.0.0.1"},
		{"both the same", "10.0.0.1:5", "198.51.100.7", "for=198.51.100.7", "198.51.100.7"},
		{"one of them is the client's", "10.0.0.1:5", "198.51.100.7", "for=1.2.3.4", "10.0.0.1"},
		{"IPv6", "[fd00::1]:5", "2001:db8::2", "", "2001:db8::2"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5", "198.51.100.7", "", "198.51.100.7"},
		{"unknown", "pipe", "198.51.100.7", "", "invalid IP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = tt.peer
			if tt.xff != "" {
				r.Header.Set("X-Forwarded-For", tt.xff)
			}
			if tt.forwarded != "" {
				r.Header.Set("Forwarded", tt.forwarded)
			}
			if got := proxies.client(r); got.String() != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "a, 10.0.0.2", `for="[::1]:1";by=x`)
	f.Fuzz(func(t *testing.T, peer, xff, forwarded string) {
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {xff}, "Forwarded": {forwarded}}}
		p := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
		if got := p.client(r); !p.trusts(address(peer)) && got != address(peer) {
			t.Errorf("%s though the peer %q is not trusted", got, peer)
		}
	})
}

// TestLimiter: a client has its burst, then its rate; others have their own.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(LimiterConfig{Rate: 2, Burst: 3})
		for range 3 {
			if wait := l.take("a", time.Now()); wait != 0 {
				t.Fatalf("within the burst: %v", wait)
			}
		}
		for range 5 { // being refused costs nothing
			if wait := l.take("a", time.Now()); wait != 500*time.Millisecond {
				t.Fatalf("beyond the burst: %v", wait)
			}
		}
		if wait := l.take("b", time.Now()); wait != 0 {
			t.Errorf("another client: %v", wait)
		}
		time.Sleep(500 * time.Millisecond)
		if wait := l.take("a", time.Now()); wait != 0 {
			t.Errorf("after the wait: %v", wait)
		}
		if wait := l.take("a", time.Now()); wait == 0 {
			t.Error("more than the rate")
		}
	})
}

// TestLimiterForgets: the table is bounded, and who was quiet for long is out of it.
func TestLimiterForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimiter(LimiterConfig{Rate: 1, Burst: 1, Forget: time.Minute})
		for i := range maxClients + 100 {
			l.take(fmt.Sprint(i), time.Now())
			l.take("busy", time.Now())
		}
		if n := len(l.clients); n != maxClients || l.recent.Len() != n {
			t.Errorf("%d clients, %d in the list", n, l.recent.Len())
		}
		if l.clients["busy"] == nil || l.clients["0"] != nil {
			t.Error("the wrong ones were forgotten")
		}
		time.Sleep(time.Minute)
		l.take("new", time.Now())
		if n := len(l.clients); n != 1 || l.recent.Len() != 1 {
			t.Errorf("%d clients, %d in the list", n, l.recent.Len())
		}
	})
}

// TestLimits sends requests of several clients through a server.
func TestLimits(t *testing.T) {
	ok := Route{Method: http.MethodGet, Pattern: "/a/ok", OperationID: "ok", Handle: func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}}
	health := ok
	health.Pattern = "/health"
	s := newTestServer(t, Config{
		Keys: NewKeys(apikeys.Plain("one", "two")),
		Limiter: NewLimiter(LimiterConfig{
			Rate: 0.001, Burst: 1, Proxies: Proxies{netip.MustParsePrefix("10.0.0.1/32")},
		}),
	}, ok, health)
	for i, step := range []struct {
		path, peer, xff, key string
		local                bool
		status               int
	}{
		{path: "/a/ok", peer: "192.0.2.1:1", key: "one", status: 200},
		{path: "/a/ok", peer: "192.0.2.1:1", key: "one", status: 429},
		{path: "/a/ok", peer: "192.0.2.2:1", key: "one", status: 429}, // the key counts, not the address
		{path: "/a/ok", peer: "192.0.2.1:1", key: "two", status: 200},
		{path: "/a/ok", peer: "192.0.2.1:1", key: "guess 1", status: 401},
		{path: "/a/ok", peer: "192.0.2.1:2", key: "guess 2", status: 429}, // guesses are the address's
		{path: "/a/ok", peer: "192.0.2.1:2", status: 429},
		{path: "/health", peer: "192.0.2.1:2", status: 200},
		{path: "/a/ok", peer: "192.0.2.1:2", local: true, status: 200},
		{path: "/a/ok", peer: "10.0.0.1:1", xff: "198.51.100.1", status: 401},
		{path: "/a/ok", peer: "10.0.0.1:1", xff: "198.51.100.2", status: 401},
		{path: "/a/ok", peer: "10.0.0.1:1", xff: "198.51.100.2", status: 429},
		{path: "/a/ok", peer: "192.0.2.9:1", xff: "198.51.100.3", status: 401},
		{path: "/a/ok", peer: "192.0.2.9:1", xff: "198.51.100.4", status: 429}, // nobody's word
		{path: "/a/ok", peer: "[2001:db8:0:1::1]:1", status: 401},
		{path: "/a/ok", peer: "[2001:db8:0:1::2]:1", status: 429}, // the same network
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+step.path, nil)
		r.RemoteAddr = step.peer
		if step.xff != "" {
			r.Header.Set("X-Forwarded-For", step.xff)
		}
		if step.key != "" {
			r.Header.Set("X-Api-Key", step.key)
		}
		if step.local {
			r = r.WithContext(WithLocal(r.Context()))
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != step.status {
			t.Errorf("step %d: status %d, want %d: %s", i, w.Code, step.status, w.Body)
		}
	}
}

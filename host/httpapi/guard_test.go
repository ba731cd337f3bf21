package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/julienschmidt/httprouter"
	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/apikeys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHosts(t *testing.T) {
	tests := []struct {
		host  string
		guard Guard
		want  bool
	}{
		{"127.0.0.1:8080", Guard{}, true},
		{"127.9.9.9", Guard{}, true},
		{"localhost", Guard{}, true},
		{"LOCALHOST.:80", Guard{}, true},
		{"[::1]:8080", Guard{}, true},
		{"[::1]", Guard{}, true},
		{"evil.example", Guard{}, false},
		{"localhost.evil.example", Guard{}, false},
		{"127.0.0.1.evil.example", Guard{}, false},
		{"192.0.2.1:8080", Guard{}, false},
		{"192.0.2.1:8080", Guard{AllowIPs: true}, true},
		{"evil.example", Guard{AllowIPs: true}, false},
		{"box.lan:1", Guard{AllowedHosts: []string{"Box.LAN"}}, true},
		{"", Guard{}, false},
	}
	for _, test := range tests {
		if got := test.guard.hostAllowed(test.host); got != test.want {
			t.Errorf("%q with %+v: %v", test.host, test.guard, got)
		}
	}
}

// plainDialect writes errors as their status and text.
type plainDialect struct {
	prefix string
	routes []Route
}

func (d plainDialect) Name() string       { return d.prefix }
func (d plainDialect) Prefixes() []string { return []string{d.prefix} }
func (d plainDialect) Routes() []Route    { return d.routes }
func (d plainDialect) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	p := NewProblem(r, err)
	text := d.prefix + ": " + p.Detail
	w.Header().Set("Content-Length", itoa(len(text)))
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(text))
}

func newTestServer(t *testing.T, c Config, routes ...Route) *Server {
	t.Helper()
	c.Dialects = append(c.Dialects, plainDialect{"/a", routes})
	c.Fallback = plainDialect{"/", nil}
	s, err := NewServer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func do(s *Server, method, path string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader("{}"))
	r.Host = "localhost"
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestErrorsAreWrittenByTheDialectOfThePath(t *testing.T) {
	s := newTestServer(t, Config{},
		Route{Method: "POST", Pattern: "/a/x", Handle: func(http.ResponseWriter, *http.Request, httprouter.Params) error { panic("boom") }},
		Route{Method: "GET", Pattern: "/a/x", Handle: func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
			_, err := w.Write([]byte("fine"))
			return err
		}},
	)
	tests := []struct {
		method, path string
		status       int
		text         string
	}{
		{"GET", "/a/x", 200, "fine"},
		{"HEAD", "/a/x", 200, ""},
		{"POST", "/a/x", 500, "/a: internal error"},
		{"DELETE", "/a/x", 405, "/a: /a/x does not take DELETE; it takes GET, HEAD, POST"},
		{"GET", "/a/x/", 404, "/a: "},
		{"GET", "/a/v1/x", 404, "did you mean /a/x?"},
		{"GET", "/b", 404, "/: "},
		{"GET", "/ab", 404, "/: "},
	}
	for _, test := range tests {
		w := do(s, test.method, test.path, nil)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.text) {
			t.Errorf("%s %s: %d %s", test.method, test.path, w.Code, w.Body)
		}
		if test.status == 405 && w.Header().Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("Allow: %s", w.Header().Get("Allow"))
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no request id", test.method, test.path)
		}
	}
}

// TestNoWebSockets: 426 has clients fall back to HTTP at once, where they would try again
// after a 405.
func TestNoWebSockets(t *testing.T) {
	s := newTestServer(t, Config{}, Route{Method: "POST", Pattern: "/a/x"})
	w := do(s, "GET", "/a/x", map[string]string{"Connection": "Upgrade", "Upgrade": "WebSocket"})
	if w.Code != http.StatusUpgradeRequired || w.Header().Get("Upgrade") == "" || !strings.Contains(w.Body.String(), "/a: there are no WebSockets at /a/x; it takes POST") {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
}

func TestRequestID(t *testing.T) {
	s := newTestServer(t, Config{})
	for id, kept := range map[string]bool{"abc-1.2:3_x": true, "a b": false, "a\"b": false, strings.Repeat("x", 129): false} {
		got := do(s, "GET", "/", map[string]string{"X-Request-Id": id}).Header().Get("X-Request-Id")
		if (got == id) != kept {
			t.Errorf("%q became %q", id, got)
		}
	}
}

func TestKeys(t *testing.T) {
	ok := Route{Method: "GET", Pattern: "/a/x", Handle: func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		w.WriteHeader(200)
		return nil
	}}
	s := newTestServer(t, Config{Keys: NewKeys(apikeys.Plain("one", " two "))}, ok)
	tests := []struct {
		header map[string]string
		status int
	}{
		{nil, 401},
		{map[string]string{"Authorization": "Bearer one"}, 200},
		{map[string]string{"Authorization": "bearer two"}, 200},
		{map[string]string{"X-Api-Key": "two"}, 200},
		{map[string]string{"X-Api-Key": "three"}, 401},
		{map[string]string{"X-Api-Key": "three", "Authorization": "Bearer one"}, 401},
		{map[string]string{"Authorization": "Basic one"}, 401},
		{map[string]string{"Authorization": "Bearer "}, 401},
	}
	for _, test := range tests {
		if w := do(s, "GET", "/a/x", test.header); w.Code != test.status {
			t.Errorf("%v: %d", test.header, w.Code)
		}
	}
	if NewKeys(apikeys.Plain("", " ")) != nil {
		t.Error("no keys are some keys")
	}
}

func TestCORS(t *testing.T) {
	s := newTestServer(t, Config{Guard: Guard{AllowedOrigins: []string{"http://app.local"}}, Keys: NewKeys(apikeys.Plain("k"))})
	w := do(s, "OPTIONS", "/a/x", map[string]string{"Origin": "http://app.local", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-stainless-os, authorization"})
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "http://app.local" || w.Header().Get("Access-Control-Allow-Headers") != "x-stainless-os, authorization" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = do(s, "GET", "/a/x", map[string]string{"Origin": "http://app.local"})
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") == "" {
		t.Errorf("errors must be readable too: %d %v", w.Code, w.Header())
	}
	w = do(s, "OPTIONS", "/a/x", map[string]string{"Origin": "http://evil.local", "Access-Control-Request-Method": "POST"})
	if w.Code != 403 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign preflight: %d %v", w.Code, w.Header())
	}
}

func TestReadBody(t *testing.T) {
	var got error
	read := Route{Method: "POST", Pattern: "/a/x", Handle: func(_ http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
		_, got = ReadBody(r)
		return got
	}}
	s := newTestServer(t, Config{MaxBody: 20}, read)
	for body, status := range map[string]int{
		`{}`: 200, ` {"a":1} `: 200, ``: 400, `[]`: 400, `"x"`: 400, `{`: 400, `{} {}`: 400, "{\"a\":\"\xff\"}": 400, `{"a":"012345678901234567890"}`: 413,
	} {
		r := httptest.NewRequest("POST", "/a/x", strings.NewReader(body))
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != status {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestContentType(t *testing.T) {
	s := newTestServer(t, Config{}, Route{Method: "POST", Pattern: "/a/x", Handle: func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
		w.WriteHeader(http.StatusOK)
		return nil
	}})
	for _, test := range []struct {
		kind, body string
		header     map[string]string
		status     int
	}{
		{"application/json; charset=utf-8", "{}", nil, 200},
		{"text/plain", "{}", nil, 415},
		{"text/plain", "", nil, 415},
		{"", "{}", nil, 415},
		{"", "", nil, 200},
		{"", "", map[string]string{"Origin": "http://evil.example"}, 403},
	} {
		r := httptest.NewRequest("POST", "/a/x", strings.NewReader(test.body))
		r.Host = "localhost"
		if test.kind != "" {
			r.Header.Set("Content-Type", test.kind)
		}
		for k, v := range test.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%+v: %d %s", test, w.Code, w.Body)
		}
	}
}

func TestConflictingRoutesAreAnError(t *testing.T) {
	nop := func(http.ResponseWriter, *http.Request, httprouter.Params) error { return nil }
	_, err := NewServer(Config{
		Dialects: []Dialect{plainDialect{"/a", []Route{{Method: "GET", Pattern: "/a/:id", Handle: nop}, {Method: "GET", Pattern: "/a/x", Handle: nop}}}},
		Fallback: plainDialect{"/", nil},
	})
	if err == nil {
		t.Error("no error")
	}
}

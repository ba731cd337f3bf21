package apicheck

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// between starts a server and a proxy before it.
func between(t *testing.T, handler http.HandlerFunc) (p *Proxy, client *http.Client) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	p, err := NewProxy(own(t), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(func() { _ = p.Close() }) // what it says is the test's own matter
	return p, &http.Client{Transport: transport}
}

func get(t *testing.T, client *http.Client, url string) (string, error) {
	t.Helper()
	r, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return string(body), err
}

func TestProxyFinds(t *testing.T) {
	p, client := between(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "bad") {
			fmt.Fprint(w, `{"wrong":true}`)
			return
		}
		fmt.Fprint(w, model)
	})
	for _, name := range []string{"good", "bad", "bad"} {
		if _, err := get(t, client, p.URL+"/v1/models/"+name+"?a;b"); err != nil {
			t.Fatal(err)
		}
	}
	err := p.Close()
	if p.Seen() != 3 {
		t.Errorf("%d exchanges were seen", p.Seen())
	}
	if err == nil {
		t.Fatal("nothing was found")
	}
	for _, want := range []string{"1 kinds", "GET /v1/models/bad, status 200", "missing properties", `{"wrong":true}`, "(2 times)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestProxyPassesOn(t *testing.T) {
	p, client := between(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, strings.Replace(problem, `"x"`, fmt.Sprintf("%q", r.Host+" "+r.URL.RawQuery+" "+r.Header.Get("X-Test")), 1))
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/nothing?a=1;b&c", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "other.example"
	request.Header.Set("X-Test", "t")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusNotFound || !strings.Contains(string(body), `"other.example a=1;b&c t"`) {
		t.Errorf("status %d, %v: %s", response.StatusCode, err, body)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestProxyStreams: each event comes at once, and the server learns that the client
// has left.
func TestProxyStreams(t *testing.T) {
	left := make(chan struct{})
	p, client := between(t, func(w http.ResponseWriter, r *http.Request) {
		for name, value := range exchange("POST / 200 text/event-stream", "").Header {
			w.Header()[name] = value
		}
		fmt.Fprintf(w, "data: %s\n\n", chunk)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/v1/chat/completions", strings.NewReader(ask))
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || !strings.Contains(line, chunk) {
		t.Fatalf("got %q, %v", line, err)
	}
	cancel()
	<-left
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestProxyBreaksOff: what the server breaks off is broken off for the client.
func TestProxyBreaksOff(t *testing.T) {
	p, client := between(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models/late" {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "{")
			_ = http.NewResponseController(w).Flush()
		}
		panic(http.ErrAbortHandler)
	})
	if _, err := get(t, client, p.URL+"/v1/models/late"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("in the body: %v", err)
	}
	if _, err := get(t, client, p.URL+"/v1/models/early"); !errors.Is(err, io.EOF) {
		t.Errorf("before: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

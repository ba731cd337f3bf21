package apicheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Proxy stands between clients and a server and checks what passes. It changes
// nothing: each write is passed on at once, and what breaks off on one side does on
// the other.
type Proxy struct {
	// URL of the proxy, without a trailing slash.
	URL string

	document *Document
	http     *http.Server
	served   chan struct{}
	requests sync.WaitGroup
	checks   sync.WaitGroup
	clients  *http.Transport

	mu     sync.Mutex
	closed bool
	seen   int
	found  map[string]*finding // by what is wrong
}

// finding is one violation and how often it was seen.
type finding struct {
	text  string
	times int
}

// NewProxy starts a proxy on a free loopback port for the server at target. The
// caller closes it.
func NewProxy(d *Document, target string) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("starting the checking proxy: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting the checking proxy: %w", err)
	}
	p := &Proxy{
		URL: "http://" + ln.Addr().String(), document: d, served: make(chan struct{}), found: map[string]*finding{},
		clients: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256},
	}
	reverse := &httputil.ReverseProxy{
		Transport: p.clients, FlushInterval: -1,
		ErrorLog: log.New(io.Discard, "", 0), // what breaks off here was broken off there
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.URL.RawQuery, r.Out.Host = r.In.URL.RawQuery, r.In.Host
		},
		ModifyResponse: p.watch,
		// The server broke off before it answered.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.http = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.enter() {
			panic(http.ErrAbortHandler)
		}
		defer p.requests.Done()
		sent := &tee{body: r.Body}
		if r.ContentLength > 0 {
			sent.size = r.ContentLength
		}
		r.Body = sent
		reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sentKey{}, sent)))
	})}
	go func() {
		defer close(p.served)
		_ = p.http.Serve(ln) // ends with Close
	}()
	return p, nil
}

// enter counts a request, unless the proxy is being closed.
func (p *Proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.requests.Add(1)
	}
	return !p.closed
}

type sentKey struct{}

// watch notes a response's body, and checks the exchange when it is closed.
func (p *Proxy) watch(r *http.Response) error {
	sent, ok := r.Request.Context().Value(sentKey{}).(*tee)
	if !ok {
		return errors.New("the request did not come through the proxy")
	}
	x := Exchange{Method: r.Request.Method, Path: r.Request.URL.Path, Status: r.StatusCode, Header: r.Header.Clone()}
	got := &tee{body: r.Body}
	got.closed = func() {
		p.checks.Go(func() {
			var whole bool
			x.Body, whole = got.read()
			x.Cut = !whole
			x.Request, x.RequestWhole = sent.read()
			p.note(x, p.document.Check(x))
		})
	}
	r.Body = got
	return nil
}

func (p *Proxy) note(x Exchange, violations []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	for _, v := range violations {
		key := fmt.Sprintf("%s %s %d %s", x.Method, x.Path, x.Status, clip(v, 200))
		f := p.found[key]
		if f == nil {
			f = &finding{text: fmt.Sprintf("%s %s, status %d: %s\nrequest: %s\nanswer: %s", x.Method, x.Path, x.Status, clip(v, 2000),
				clip(string(x.Request), 600), clip(string(x.Body), 1200))}
			p.found[key] = f
		}
		f.times++
	}
}

// Seen is how many exchanges were checked so far.
func (p *Proxy) Seen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

// shownFindings bounds what Close tells.
const shownFindings = 20

// Close ends the proxy, cutting what is open, and returns what was not as
// documented.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.http.Close()
	<-p.served
	p.requests.Wait()
	p.checks.Wait()
	p.clients.CloseIdleConnections()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.found) == 0 {
		return err
	}
	texts := make([]string, 0, len(p.found))
	for _, f := range p.found {
		texts = append(texts, fmt.Sprintf("%s\n(%d times)", f.text, f.times))
	}
	slices.Sort(texts)
	n := len(texts)
	return errors.Join(err, fmt.Errorf("%d kinds of traffic of %d exchanges are not as /openapi.json says:\n\n%s",
		n, p.seen, strings.Join(texts[:min(n, shownFindings)], "\n\n")))
}

// tee keeps what is read of a body. Behind the end of one it does not ask again:
// http.Transport does so after it has sent a request, and when the answer has begun by
// then, http.Server has closed that body, and the Transport takes the error for a
// request that failed and cuts the answer.
type tee struct {
	body   io.ReadCloser
	size   int64  // in bytes; 0: only the body knows its end
	closed func() // called with the first Close; may be nil

	mu    sync.Mutex
	text  bytes.Buffer
	whole bool
	done  bool
}

func (t *tee) Read(b []byte) (int, error) {
	if t.over() {
		return 0, io.EOF
	}
	n, err := t.body.Read(b)
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.text.Write(b[:n]) // never fails
	t.whole = t.whole || errors.Is(err, io.EOF) || t.size > 0 && int64(t.text.Len()) == t.size
	return n, err
}

func (t *tee) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.whole
}

func (t *tee) Close() error {
	err := t.body.Close()
	t.mu.Lock()
	first := !t.done
	t.done = true
	t.mu.Unlock()
	if first && t.closed != nil {
		t.closed()
	}
	return err
}

// read returns what was read so far, and whether that is all.
func (t *tee) read() (text []byte, whole bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.text.Bytes()), t.whole
}

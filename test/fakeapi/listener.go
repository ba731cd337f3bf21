package fakeapi

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Listener is an HTTP server on a free loopback port.
type Listener struct {
	// URL without a trailing slash.
	URL string

	http   *http.Server
	served chan struct{}
}

// Listen starts answering with handler; the caller closes it.
func Listen(handler http.Handler) (*Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a fake API: %w", err)
	}
	l := &Listener{
		URL:    "http://" + ln.Addr().String(),
		http:   &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		served: make(chan struct{}),
	}
	go func() {
		defer close(l.served)
		_ = l.http.Serve(ln) // ends with Close, and a broken listener fails the test by itself
	}()
	return l, nil
}

// Close cuts all connections and waits for the server's end.
func (l *Listener) Close() error {
	err := l.http.Close()
	<-l.served
	return err
}

// ForTest hands on what a fake's NewServer returned and closes it with the test.
func ForTest[S io.Closer](tb testing.TB, s S, err error) S {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("closing the fake API: %v", err)
		}
	})
	return s
}

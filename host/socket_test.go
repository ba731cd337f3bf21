//go:build linux

package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/clinvk/clinvk/host/config"
	"github.com/clinvk/clinvk/host/hosttest"
)

// socketPath is a place for a socket; what is left there is removed.
func socketPath(t *testing.T) string {
	t.Helper()
	path := filepath.Join(hosttest.RuntimeDir(t), "s.sock")
	t.Cleanup(func() {
		for _, suffix := range []string{"", ".old", ".lock"} {
			_ = os.Remove(path + suffix) // not all of them are there
		}
	})
	return path
}

// stale leaves a socket as a killed server does.
func stale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOneServerTakesTheSocket lets several servers start at once where one was killed.
func TestOneServerTakesTheSocket(t *testing.T) {
	path := socketPath(t)
	for range 20 {
		stale(t, path)
		var group sync.WaitGroup
		var mu sync.Mutex
		var taken []*localSocket
		for range 4 {
			group.Go(func() {
				s, err := listenAt(t.Context(), path)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					taken = append(taken, s)
				} else if !errors.Is(err, errSocketTaken) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if len(taken) != 1 {
			t.Fatalf("%d servers have the socket", len(taken))
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if err := taken[0].Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the socket is left: %v", err)
		}
	}
}

func TestClosingLeavesTheSocketOfAnother(t *testing.T) {
	path := socketPath(t)
	old, err := listenAt(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil { // its inode is not used again
		t.Fatal(err)
	}
	next, err := listenAt(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the other's socket: %v", err)
	}
	_ = c.Close()
}

// TestBusySocketStays dials where a server has no room for more connections.
func TestBusySocketStays(t *testing.T) {
	path := socketPath(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	var full error
	for range 10 {
		c, err := net.Dial("unix", path)
		if err != nil {
			full = err
			break
		}
		defer c.Close()
	}
	if full == nil {
		t.Fatal("there is still room")
	}
	if s, err := listenAt(t.Context(), path); err == nil {
		_ = s.Close()
		t.Error("two servers have the socket")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// TestServeOnBoth answers by TCP and by the socket, and takes the socket away.
func TestServeOnBoth(t *testing.T) {
	h, dir := newHost(t, config.Config{})
	install(t, dir, "one")
	rescan(t, h)
	path := socketPath(t)
	h.config.Socket = path
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.Serve(ctx, ln, func() { close(ready) }) }()
	client := func(network, address string) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}}
	}
	answers := func(network, address string) {
		t.Helper()
		response, err := client(network, address).Get("http://localhost/health")
		if err != nil {
			t.Errorf("%s: %v", network, err)
			return
		}
		_ = response.Body.Close()
	}
	answers("tcp", ln.Addr().String()) // while it starts
	<-ready
	answers("unix", path)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

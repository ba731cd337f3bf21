//go:build linux

package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/clinvk/clinvk/host/config"
)

// TestServeOnBoth answers by TCP and by the socket, and takes the socket away.
func TestServeOnBoth(t *testing.T) {
	h, dir := newHost(t, config.Config{})
	install(t, dir, "one")
	rescan(t, h)
	h.config.CommandLine = true
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
	path := filepath.Join(h.supervisor.Dir(), socketName(h.config.Settings.Home))
	answers("unix", path)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"path/filepath"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/runner"
)

// socketName is that of the socket of servers with this home.
func socketName(home string) string {
	sum := sha256.Sum256([]byte(home))
	const digits = 8 // enough to tell the homes of one user apart
	return "server-" + hex.EncodeToString(sum[:])[:digits] + ".sock"
}

// Sockets lists where servers with this home may answer the command line. Each is in
// the private directory of its server, which goes when the server does, also when that
// is killed.
func Sockets(home string) ([]string, error) {
	base, err := runner.Base("")
	if err != nil {
		return nil, err
	}
	return filepath.Glob(filepath.Join(base, "*", socketName(home)))
}

// openSocket listens for the command line; nil when nobody wants that, or it does not
// work, which costs no more than the command line's convenience.
func (h *Host) openSocket(ctx context.Context) net.Listener {
	if !h.config.CommandLine {
		return nil
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", filepath.Join(h.supervisor.Dir(), socketName(h.config.Settings.Home)))
	if err != nil {
		h.log.Warn("the command line cannot use this server", "error", err)
		return nil
	}
	return ln // the directory is closed to others
}

// serveSocket answers the command line. An error takes the socket away, and nothing
// else: clients by HTTP have no part in it.
func (h *Host) serveSocket(server *http.Server, socket net.Listener) {
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		h.log.Error("the command line cannot use this server any more", "error", err)
	}
}

// markLocal marks connections that came by the socket, or from this process.
func markLocal(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr().Network() != "tcp" {
		return httpapi.WithLocal(ctx)
	}
	return ctx
}

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/runner"
)

// SocketPath is where a server with this home listens for the command line. The
// directory is made, and is the user's own.
func SocketPath(home string) (string, error) {
	base, err := runner.Base("")
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(home))
	const digits = 8 // enough to tell the homes of one user apart
	return filepath.Join(base, "server-"+hex.EncodeToString(sum[:])[:digits]+".sock"), nil
}

// Waiting for another server that opens or closes its socket.
const (
	socketWait  = 5 * time.Second
	socketRetry = 5 * time.Millisecond
)

// openSocket listens on the configured socket; nil when there is none, or another
// server has it: then that one goes on answering there.
func (h *Host) openSocket(ctx context.Context) net.Listener {
	path := h.config.Socket
	if path == "" {
		return nil
	}
	socket, err := listenAt(ctx, path)
	switch {
	case errors.Is(err, errSocketTaken):
		h.log.Info("another server answers the command line", "socket", path)
		return nil
	case err != nil:
		h.log.Warn("the command line cannot use this server", "error", err)
		return nil
	}
	return socket // the directory is closed to others
}

// serveSocket answers the command line. An error takes the socket away, and nothing
// else: clients by HTTP have no part in it.
func (h *Host) serveSocket(server *http.Server, socket net.Listener) {
	if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
		h.log.Error("the command line cannot use this server any more", "error", err)
	}
}

// errSocketTaken is that another server listens on a socket.
var errSocketTaken = errors.New("another server listens there")

// localSocket is a Unix socket that takes its own name away when it is closed, and no
// other server's.
type localSocket struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// listenAt listens on a socket of this user. A name that a killed server left is
// taken over; one that does not refuse connections is somebody's.
func listenAt(ctx context.Context, path string) (*localSocket, error) {
	unlock, err := lockSocket(ctx, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // nothing was written
		return nil, errSocketTaken
	case errors.Is(err, errRefused):
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing the socket of a server that was killed: %w", err)
		}
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}) // tells what else is wrong
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &localSocket{ln, path, made}, nil
}

// Close ends listening and removes the socket if the name is still its own.
func (s *localSocket) Close() error {
	unlock, err := lockSocket(context.Background(), s.path)
	if err != nil { // the name stays, and the next server finds that nobody listens
		return errors.Join(err, s.UnixListener.Close())
	}
	defer unlock()
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.made) {
		_ = os.Remove(s.path) // what stays is taken over by the next server
	}
	return s.UnixListener.Close()
}

// lockSocket keeps other servers from opening or closing a socket of this name until
// unlock is called. The lock's file stays: a removed one would lock nobody out.
func lockSocket(ctx context.Context, path string) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, socketWait)
	defer cancel()
	guard := flock.New(path+".lock", flock.SetPermissions(0o600))
	if _, err := guard.TryLockContext(ctx, socketRetry); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the socket: %w", err), guard.Close())
	}
	return func() { _ = guard.Close() }, nil // closing gives the lock back in any case
}

// markLocal marks connections that came by the socket.
func markLocal(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr().Network() == "unix" {
		return httpapi.WithLocal(ctx)
	}
	return ctx
}

package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"

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

// openSocket listens on the configured socket; nil when there is none, or another
// server has it: then that one goes on answering there.
func (h *Host) openSocket(ctx context.Context) net.Listener {
	path := h.config.Socket
	if path == "" {
		return nil
	}
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = c.Close() // nothing was written
		h.log.Info("another server answers the command line", "socket", path)
		return nil
	}
	_ = os.Remove(path) // of a server that was killed; Listen tells what else is wrong
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		h.log.Warn("the command line cannot use this server", "error", err)
		return nil
	}
	return ln // the directory is closed to others
}

// markLocal marks connections that came by the socket.
func markLocal(ctx context.Context, c net.Conn) context.Context {
	if c.LocalAddr().Network() == "unix" {
		return httpapi.WithLocal(ctx)
	}
	return ctx
}

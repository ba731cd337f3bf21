package runner

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// checkPeer asks the kernel who listens at the other end.
func (p *Process) checkPeer(conn net.Conn) error {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("the plugin does not listen on a Unix socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("asking who listens: %w", err)
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, peerErr); err != nil {
		return fmt.Errorf("asking who listens: %w", err)
	}
	if int(peer.Pid) == p.PID() {
		return nil
	}
	// A wrapper script runs the plugin as its child, which carries our mark.
	if carries(int(peer.Pid), func(instance string) bool { return instance == p.instance }) {
		return nil
	}
	return fmt.Errorf("process %d listens on the plugin's socket, which is not the plugin", peer.Pid)
}

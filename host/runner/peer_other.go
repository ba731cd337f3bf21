//go:build !linux

package runner

import "net"

// checkPeer relies on the private directory of the socket, and on Windows on
// AutoMTLS.
func (p *Process) checkPeer(net.Conn) error { return nil }

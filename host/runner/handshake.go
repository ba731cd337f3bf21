package runner

import (
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/clinvk/clinvk/proto/handshake"
)

// maxHandshake bounds the handshake line, in bytes. A real one with a P-521
// certificate is about 1 KiB.
const maxHandshake = 16 << 10

// coreProtocol is go-plugin's own protocol version, the first field.
const coreProtocol = "1"

// offer is what a plugin says in its handshake line.
type offer struct{ network, address, certificate string }

// expected is what the host can work with.
type expected struct {
	name  string // of the backend, for remedies
	dir   string // where the socket must be
	plain bool   // no TLS
}

// parseHandshake reads CORE|APP|NETWORK|ADDRESS|PROTOCOL[|CERTIFICATE[|…]]. It
// refuses everything that go-plugin would misread or die of.
func parseHandshake(line string, want expected) (offer, error) {
	f := strings.Split(strings.TrimSpace(line), "|")
	if len(f) < 5 {
		return offer{}, &StartError{
			Reason: fmt.Sprintf("it printed %s to stdout instead of its handshake", excerpt(line)),
			Remedy: "a plugin's first line on stdout is its handshake: log to stderr instead",
		}
	}
	if f[0] != coreProtocol {
		return offer{}, &StartError{Permanent: true, Reason: fmt.Sprintf("it speaks version %s of go-plugin's core protocol, this clinvk speaks %s", excerpt(f[0]), coreProtocol), Remedy: updateEither}
	}
	if f[1] != strconv.Itoa(handshake.ProtocolVersion) {
		return offer{}, &StartError{Permanent: true, Reason: fmt.Sprintf("it speaks protocol version %s, this clinvk speaks %d", excerpt(f[1]), handshake.ProtocolVersion), Remedy: updateEither}
	}
	if f[4] != "grpc" {
		return offer{}, &StartError{Permanent: true, Reason: fmt.Sprintf("it serves %s, clinvk needs grpc", excerpt(f[4])), Remedy: "serve gRPC and say so in the fifth field of the handshake"}
	}
	o := offer{network: f[2], address: f[3]}
	if err := checkAddress(o, want.dir); err != nil {
		return offer{}, err
	}
	if want.plain {
		return o, nil
	}
	if len(f) > 5 {
		o.certificate = f[5]
	}
	if err := checkCertificate(o.certificate, want.name); err != nil {
		return offer{}, err
	}
	return o, nil
}

const updateEither = "update the plugin or clinvk, whichever is older"

// checkAddress refuses anything but a socket of the plugin's own: a plugin must
// not be able to point the host at somebody else's.
func checkAddress(o offer, dir string) error {
	refuse := func(problem string) error {
		return &StartError{
			Reason: fmt.Sprintf("it offers the address %s %s, %s", excerpt(o.network), excerpt(o.address), problem),
			Remedy: "listen on a Unix socket directly inside $" + handshake.EnvSocketDir,
		}
	}
	if runtime.GOOS == "windows" {
		host, _, err := net.SplitHostPort(o.address)
		if o.network != "tcp" || err != nil || host != "127.0.0.1" {
			return refuse("which is no port of 127.0.0.1")
		}
		return nil
	}
	if o.network != "unix" || filepath.Dir(o.address) != dir {
		return refuse("which is no Unix socket in its private directory")
	}
	info, err := os.Lstat(o.address)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return refuse("where there is no socket")
	}
	return nil
}

func checkCertificate(text, name string) error {
	refuse := func(reason string) error {
		return &StartError{
			Permanent: true, Reason: reason,
			Remedy: fmt.Sprintf(`set "transport": "plain" in %s%s.json when its language cannot do AutoMTLS`, handshake.NamePrefix, name),
		}
	}
	if text == "" {
		return refuse("it does not speak AutoMTLS: its handshake has no certificate")
	}
	der, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return refuse("the certificate in its handshake is not base64 without padding")
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return refuse(fmt.Sprintf("the certificate in its handshake cannot be read: %v", err))
	}
	return nil
}

// line is the handshake that go-plugin gets to see. Without a certificate it ends
// after the fifth field: go-plugin v1.8.0 dereferences nil when a plugin sends a
// certificate that it was not asked for.
func (o offer) line() string {
	l := fmt.Sprintf("%s|%d|%s|%s|grpc", coreProtocol, handshake.ProtocolVersion, o.network, o.address)
	if o.certificate != "" {
		l += "|" + o.certificate
	}
	return l + "\n"
}

// excerpt quotes what a plugin sent, bounded.
func excerpt(s string) string {
	const most = 120
	s = strings.TrimRight(s, "\r\n")
	if len(s) > most {
		return strconv.Quote(strings.ToValidUTF8(s[:most], "?")) + "…"
	}
	return strconv.Quote(s)
}

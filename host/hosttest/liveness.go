//go:build unix

package hosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// strangerVariable makes the test binary a process that listens on the socket it
// names until its stdin ends, and has nothing to do with the plugin.
const strangerVariable = "CLINVK_HOSTTEST_STRANGER"

func beStranger(path string) {
	listenOn(path + ".new")
	check(os.Rename(path+".new", path)) //nolint:gosec // a path of our own; who sees it can connect
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func registerLiveness(s *grpc.Server) {
	h := health.NewServer()
	h.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, h)
}

// someCertificate is a readable one, as the handshake carries it.
func someCertificate() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	return base64.RawStdEncoding.EncodeToString(der)
}

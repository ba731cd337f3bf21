package supervisor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// certificateVariable hands the host's certificate to the plugin.
const certificateVariable = "PLUGIN_CLIENT_CERT"

// clock is how far clocks may be apart; the plugin's is ours.
const clock = 30 * time.Second

// mutualTLS makes what go-plugin's AutoMTLS would make, for one process: the
// environment that gives the plugin our certificate, and the configuration with its
// key, to which go-plugin adds the plugin's certificate. The key is on P-256, where
// go-plugin takes P-521: that saves both ends of a start some milliseconds, and the
// certificate lives no longer than the process. With plain there is neither.
func mutualTLS(plain bool) (environment []string, config *tls.Config, err error) {
	if plain {
		return nil, nil, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key for the plugin's connection: %w", err)
	}
	const host = "localhost"
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: now.Add(-clock), NotAfter: now.AddDate(30, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate for the plugin's connection: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return []string{certificateVariable + "=" + string(text)}, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12, ServerName: host,
	}, nil
}

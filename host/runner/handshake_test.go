//go:build unix

package runner

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// socketDir is a short private directory with a socket "s" in it.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ck")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir
}

const certificate = `MIIBOjCB4aADAgECAgEBMAoGCCqGSM49BAMCMBQxEjAQBgNVBAMTCWxvY2FsaG9zdDAeFw0yNjAxMDEwMDAwMDBaFw0zNjAxMDEwMDAwMDBaMBQxEjAQBgNVBAMTCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABA`

func TestParseHandshake(t *testing.T) {
	dir := socketDir(t)
	good := "1|1|unix|" + dir + "/s|grpc"
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, line string
		tls        bool
		want       string // in the error; empty: accepted
		permanent  bool
	}{
		{name: "plain", line: good},
		{name: "plain with an empty certificate", line: good + "|"},
		{name: "plain with a certificate", line: good + "|" + strings.Repeat("A", 400) + "|true"},
		{name: "carriage return", line: good + "\r\n"},
		{name: "empty", line: "\n", want: "instead of its handshake"},
		{name: "four fields", line: "1|1|unix|" + dir + "/s", want: "instead of its handshake"},
		{name: "core", line: strings.Replace(good, "1|1|", "2|1|", 1), want: "core protocol", permanent: true},
		{name: "version", line: strings.Replace(good, "1|1|", "1|2|", 1), want: "protocol version", permanent: true},
		{name: "no number", line: strings.Replace(good, "1|1|", "1|x|", 1), want: `protocol version "x"`, permanent: true},
		{name: "protocol", line: strings.Replace(good, "|grpc", "|netrpc", 1), want: "netrpc", permanent: true},
		{name: "network", line: strings.Replace(good, "|unix|", "|tcp|", 1), want: "no Unix socket"},
		{name: "above", line: "1|1|unix|" + dir + "/../s|grpc", want: "no Unix socket"},
		{name: "below", line: "1|1|unix|" + dir + "/x/s|grpc", want: "no Unix socket"},
		{name: "file", line: "1|1|unix|" + dir + "/file|grpc", want: "there is no socket"},
		{name: "link", line: "1|1|unix|" + dir + "/link|grpc", want: "there is no socket"},
		{name: "TLS without a certificate", line: good, tls: true, want: "does not speak AutoMTLS", permanent: true},
		{name: "TLS with padding", line: good + "|QQ==", tls: true, want: "base64", permanent: true},
		{name: "TLS with half a certificate", line: good + "|" + certificate, tls: true, want: "cannot be read", permanent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parseHandshake(tt.line, expected{name: "one", dir: dir, plain: !tt.tls})
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := o.line(); got != good+"\n" { // cut after the fifth field
					t.Errorf("line for go-plugin: %q", got)
				}
				return
			}
			var e *StartError
			if !errors.As(err, &e) || !strings.Contains(e.Reason, tt.want) || e.Permanent != tt.permanent {
				t.Errorf("error: %#v, want %q in it", err, tt.want)
			}
		})
	}
}

func FuzzParseHandshake(f *testing.F) {
	dir := socketDir(f)
	for _, seed := range []string{"1|1|unix|" + dir + "/s|grpc|", "1|1|tcp|127.0.0.1:1|grpc|x", "||||", "1|1|unix||grpc", "\x00|\xff"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, line string, plain bool) {
		o, err := parseHandshake(line, expected{name: "one", dir: dir, plain: plain})
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		// Whatever is accepted is in our directory and safe for go-plugin.
		if o.network != "unix" || filepath.Dir(o.address) != dir {
			t.Fatalf("accepted %+v", o)
		}
		if fields := strings.Split(o.line(), "|"); plain && len(fields) != 5 {
			t.Fatalf("line %q", o.line())
		}
	})
}

//go:build linux

package isolation_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host"
	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// startLimit is the bound of the step of a start that a fault makes hang.
const startLimit = 300 * time.Millisecond

// startFault is a plugin that does not get ready.
type startFault struct {
	name    string
	script  hosttest.Script
	tls     bool   // needs AutoMTLS to happen; the others start faster without
	reason  string // in what the backend's state says, and in the 503
	forGood bool   // ends in quarantine at once
	tight   func(*supervisor.Timings)
}

var startFaults = []startFault{
	{name: "panics", script: hosttest.Script{Start: hosttest.Panic}, reason: "(exit status 2) before its handshake; its last words: panic: no heart to start"},
	{name: "exits 0", script: hosttest.Script{Start: hosttest.Exit0}, reason: "it ended (exit status 0) before its handshake"},
	{name: "hangs before the handshake", script: hosttest.Script{Start: hosttest.Hang}, tight: func(t *supervisor.Timings) { t.Handshake = startLimit }, reason: "did not print its handshake in time"},
	{name: "junk", script: hosttest.Script{Start: hosttest.Junk}, reason: "instead of its handshake"},
	{name: "a stray line", script: hosttest.Script{Start: hosttest.Stray}, reason: `it printed "listening..." to stdout instead`},
	{name: "1 MB without a newline", script: hosttest.Script{Start: hosttest.LongLine}, reason: "more than 16 KiB to stdout without a newline"},
	{name: "closes stdout", script: hosttest.Script{Start: hosttest.CloseStdout}, reason: "closed its stdout without a handshake"},
	{name: "wrong cookie", script: hosttest.Script{Start: hosttest.WrongCookie}, reason: "it ended (exit status 1) before its handshake"},
	{name: "wrong core protocol", script: hosttest.Script{Start: hosttest.WrongCore}, reason: `version "2" of go-plugin's core protocol`, forGood: true},
	{name: "wrong version", script: hosttest.Script{Start: hosttest.WrongVersion}, reason: `protocol version "7", this clinvk speaks 1`, forGood: true},
	{name: "net/rpc", script: hosttest.Script{Start: hosttest.NetRPC}, reason: `serves "netrpc", clinvk needs grpc`, forGood: true},
	{name: "a port", script: hosttest.Script{Start: hosttest.TCP}, reason: "no Unix socket in its private directory"},
	{name: "an address of nothing", script: hosttest.Script{Start: hosttest.NoSocket}, reason: "where there is no socket"},
	{name: "foreign socket", script: hosttest.Script{Start: hosttest.ForeignSocket}, reason: "no Unix socket in its private directory"},
	{name: "stolen socket", script: hosttest.Script{Start: hosttest.StolenSocket}, reason: "which is not the plugin"},
	{name: "dead socket", script: hosttest.Script{Start: hosttest.DeadSocket}, reason: "connection refused"},
	{name: "frozen socket", script: hosttest.Script{Start: hosttest.FrozenSocket}, tight: func(t *supervisor.Timings) { t.Describe = startLimit }, reason: "Describe: no answer within 300ms"},
	{name: "no certificate", script: hosttest.Script{Start: hosttest.NoCert}, tls: true, reason: "does not speak AutoMTLS", forGood: true},
	{name: "bad certificate", script: hosttest.Script{Start: hosttest.BadCert}, tls: true, reason: "certificate in its handshake cannot be read", forGood: true},
	{name: "a certificate, but no TLS", script: hosttest.Script{Start: hosttest.WithoutTLS}, tls: true, reason: "does not speak AutoMTLS", forGood: true},
	{name: "no grpc.health.v1", script: hosttest.Script{Start: hosttest.NoLiveness}, reason: "Health: the plugin does not implement it", forGood: true},
	{name: "Describe hangs", script: hosttest.Script{Answer: hosttest.HangDescribe}, tight: func(t *supervisor.Timings) { t.Describe = startLimit }, reason: "Describe: no answer within 300ms"},
	{name: "Describe of 100 MB", script: hosttest.Script{Answer: hosttest.HugeDescribe}, reason: "received message larger than max"},
	{name: "Describe exits", script: hosttest.Script{Answer: hosttest.ExitDescribe}, reason: "Describe: the process ended (exit status 4)"},
	{name: "Describe is missing", script: hosttest.Script{Answer: hosttest.Unimplemented}, reason: "Describe: the plugin does not implement it", forGood: true},
	{name: "Describe lies about the name", script: hosttest.Script{Name: "somebody"}, reason: `the plugin calls itself "somebody"`, forGood: true},
	{name: "Configure hangs", script: hosttest.Script{Answer: hosttest.HangConfigure}, tight: func(t *supervisor.Timings) { t.Configure = startLimit }, reason: "Configure: no answer within 300ms"},
	{name: "Configure refuses", script: hosttest.Script{Answer: hosttest.FailConfigure}, reason: "Configure: /colour: unknown colour", forGood: true},
}

// entry is the plugin of the fault, and the file that counts its starts.
func (f startFault) entry(t testing.TB) (e catalog.Entry, starts string) {
	var opts []hosttest.Option
	if !f.tls {
		opts = append(opts, hosttest.Plain)
	}
	starts = filepath.Join(t.TempDir(), "starts")
	f.script.Starts, f.script.FaultyStarts = starts, faultyStarts
	if tells := f.script.Name; tells != "" {
		return hosttest.Impostor(t, faulty, tells), starts
	}
	f.script.Name = faulty
	return hosttest.Entry(t, f.script, opts...), starts
}

// faultyStarts is more than happen: mend ends the fault.
const faultyStarts = 10_000

// mend ends a fault of starts.
func mend(t testing.TB, starts string) {
	t.Helper()
	if err := os.WriteFile(starts, bytes.Repeat([]byte("x"), faultyStarts+1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFaultyStart shows, for every way not to get ready, that clients learn the
// reason, that nobody else notices, and that the backend serves once it is mended.
func TestFaultyStart(t *testing.T) {
	for _, f := range startFaults {
		t.Run(f.name, func(t *testing.T) {
			cheaply(t, f.run)
		})
	}
}

func (f startFault) run(t *testing.T) costs {
	entry, starts := f.entry(t)
	w := newWorld(t, func(c *host.Config) {
		c.Timings.Acquire = 50 * time.Millisecond
		// So that most of the time is spent in the fault and not between two of them,
		// and not all of it: the machine has other things to do.
		c.Timings.Backoff, c.Timings.BackoffMost = 200*time.Millisecond, 200*time.Millisecond
		if f.tight != nil {
			f.tight(&c.Timings)
		}
	}, entry)
	defer w.stop()
	m := w.watch(t)
	began := time.Now()
	eventually(t, "the reason is shown", func() bool { return w.backend(t, faulty).LastError != "" })
	if took := time.Since(began); f.tight != nil && took > startLimit+30*time.Second { // the other limits are a minute
		t.Errorf("the fault is seen after %v", took)
	}
	if b := w.backend(t, faulty); !strings.Contains(b.Message, f.reason) || b.Available {
		t.Errorf("backend: %+v, want %q", b, f.reason)
	}
	w.settled(t)
	w.answers(t, healthy)
	for _, d := range []dialect{restWhole, openaiStream, anthropicStream} {
		began := time.Now()
		o := w.must(t, d, faulty, hosttest.Echo, "hi")
		if o.status != http.StatusServiceUnavailable || o.failure == nil || !strings.Contains(o.failure.message, f.reason) {
			t.Errorf("%s turn: %v, want 503 with %q", d.name, o, f.reason)
		}
		if took := time.Since(began); took > 20*time.Second { // Acquire is 50 ms
			t.Errorf("%s turn: fails after %v", d.name, took)
		}
	}
	if quarantined := w.backend(t, faulty).State == string(supervisor.StateQuarantined); quarantined != f.forGood {
		t.Errorf("backend: %+v, want quarantine: %v", w.backend(t, faulty), f.forGood)
	}
	if !f.forGood { // else somebody has to restart it by hand
		mend(t, starts)
		w.recovers(t, faulty)
	}
	w.answers(t, healthy)
	return m.end(t)
}

// TestCertificateInPlainMode shows that a certificate that nobody asked for is
// ignored: go-plugin's own client dereferences nil.
func TestCertificateInPlainMode(t *testing.T) {
	cheaply(t, func(t *testing.T) costs {
		w := newWorld(t, nil, hosttest.Entry(t, hosttest.Script{Name: faulty, Start: hosttest.SendCert}, hosttest.Plain))
		defer w.stop()
		m := w.watch(t)
		w.settled(t)
		w.answers(t, faulty)
		w.answers(t, healthy)
		return m.end(t)
	})
}

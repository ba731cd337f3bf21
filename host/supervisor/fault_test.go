//go:build linux

package supervisor_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// plainly is for faults that need no certificate.
var plainly = []hosttest.Option{hosttest.Plain}

// TestFaultyStart shows that every bad start ends in time with a text that says
// what is wrong, and leaves no process, socket or goroutine.
func TestFaultyStart(t *testing.T) {
	const limit = 300 * time.Millisecond // of the step that hangs
	for _, tt := range []struct {
		name    string
		script  hosttest.Script
		opts    []hosttest.Option
		want    string // in LastError
		remedy  string
		forGood bool
		tight   func(*supervisor.Timings)
	}{
		{name: "panic", script: hosttest.Script{Start: hosttest.Panic}, want: "its last words: panic: no heart to start"},
		{name: "exit 0", script: hosttest.Script{Start: hosttest.Exit0}, want: "it ended (exit status 0) before its handshake"},
		{name: "hang", script: hosttest.Script{Start: hosttest.Hang}, tight: func(t *supervisor.Timings) { t.Handshake = limit }, want: "did not print its handshake in time"},
		{name: "junk", script: hosttest.Script{Start: hosttest.Junk}, want: `instead of its handshake`, remedy: "log to stderr"},
		{name: "stray line", script: hosttest.Script{Start: hosttest.Stray}, want: `it printed "listening..." to stdout instead`, remedy: "log to stderr"},
		{name: "endless line", script: hosttest.Script{Start: hosttest.LongLine}, want: "more than 16 KiB to stdout without a newline", remedy: "log to stderr"},
		{name: "closed stdout", script: hosttest.Script{Start: hosttest.CloseStdout}, want: "closed its stdout without a handshake"},
		{name: "wrong cookie", script: hosttest.Script{Start: hosttest.WrongCookie}, want: "it ended (exit status 1) before its handshake"},
		{name: "wrong core", script: hosttest.Script{Start: hosttest.WrongCore}, want: `version "2" of go-plugin's core protocol`, forGood: true},
		{name: "wrong version", script: hosttest.Script{Start: hosttest.WrongVersion}, want: `protocol version "7", this clinvk speaks 1`, remedy: "update", forGood: true},
		{name: "net/rpc", script: hosttest.Script{Start: hosttest.NetRPC}, want: `serves "netrpc", clinvk needs grpc`, forGood: true},
		{name: "tcp", script: hosttest.Script{Start: hosttest.TCP}, want: "no Unix socket in its private directory", remedy: "PLUGIN_UNIX_SOCKET_DIR"},
		{name: "address of nothing", script: hosttest.Script{Start: hosttest.NoSocket}, want: "where there is no socket"},
		{name: "foreign socket", script: hosttest.Script{Start: hosttest.ForeignSocket}, want: "no Unix socket in its private directory"},
		{name: "dead socket", script: hosttest.Script{Start: hosttest.DeadSocket}, want: "Describe: "},
		{name: "dead socket, plain", script: hosttest.Script{Start: hosttest.DeadSocket}, opts: plainly, want: "connection refused"},
		{name: "frozen socket", script: hosttest.Script{Start: hosttest.FrozenSocket}, tight: func(t *supervisor.Timings) { t.Describe = limit }, want: "Describe: no answer within 300ms"},
		{name: "stolen socket", script: hosttest.Script{Start: hosttest.StolenSocket}, want: "which is not the plugin"},
		{name: "no certificate", script: hosttest.Script{Start: hosttest.NoCert}, want: "does not speak AutoMTLS", remedy: `"transport": "plain" in clinvk-backend-fake.json`, forGood: true},
		{name: "bad certificate", script: hosttest.Script{Start: hosttest.BadCert}, want: "certificate in its handshake cannot be read", forGood: true},
		{name: "certificate without TLS", script: hosttest.Script{Start: hosttest.WithoutTLS}, want: "does not speak AutoMTLS", remedy: `"transport": "plain"`, forGood: true},
		{name: "no liveness", script: hosttest.Script{Start: hosttest.NoLiveness}, opts: plainly, want: "Health: the plugin does not implement it", forGood: true},
		{name: "Describe hangs", script: hosttest.Script{Answer: hosttest.HangDescribe}, tight: func(t *supervisor.Timings) { t.Describe = limit }, want: "Describe: no answer within 300ms"},
		{name: "Describe of 100 MB", script: hosttest.Script{Answer: hosttest.HugeDescribe}, want: "received message larger than max"},
		{name: "Describe exits", script: hosttest.Script{Answer: hosttest.ExitDescribe}, want: "Describe: the process ended (exit status 4)"},
		{name: "Describe is missing", script: hosttest.Script{Answer: hosttest.Unimplemented}, want: "Describe: the plugin does not implement it", forGood: true},
		{name: "Configure hangs", script: hosttest.Script{Answer: hosttest.HangConfigure}, tight: func(t *supervisor.Timings) { t.Configure = limit }, want: "Configure: no answer within 300ms"},
		{name: "Configure refuses", script: hosttest.Script{Answer: hosttest.FailConfigure}, want: "Configure: /colour: unknown colour", remedy: "correct backends.fake", forGood: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			entry := hosttest.Entry(t, tt.script, tt.opts...)
			began := time.Now()
			s := run(t, func(c *supervisor.Config) {
				if tt.tight != nil {
					tt.tight(&c.Timings)
				}
				c.Timings.Backoff = time.Minute
				c.Timings.Acquire = 10 * time.Millisecond
			}, entry)
			took := time.Since(began)
			st := status(t, s)
			if !strings.Contains(st.LastError, tt.want) {
				t.Errorf("error %q, want %q in it", st.LastError, tt.want)
			}
			if !strings.Contains(st.Remedy, tt.remedy) {
				t.Errorf("remedy %q, want %q in it", st.Remedy, tt.remedy)
			}
			if quarantined := st.State == supervisor.StateQuarantined; quarantined != tt.forGood {
				t.Errorf("state %q", st.State)
			}
			if tt.tight != nil && took > limit+20*time.Second { // the other limits are half a minute
				t.Errorf("took %v", took)
			}
			var unavailable *supervisor.NotAvailableError
			if _, err := s.Acquire(t.Context(), "fake"); !errors.As(err, &unavailable) {
				t.Fatalf("acquired, or an untyped error: %v", err)
			}
			if tt.forGood && !strings.Contains(unavailable.Reason, tt.want) {
				t.Errorf("reason %q", unavailable.Reason)
			}
		})
	}
}

func TestStartPanicIsShown(t *testing.T) {
	s := run(t, func(c *supervisor.Config) { c.Timings.Acquire = time.Millisecond }, hosttest.Entry(t, hosttest.Script{Start: hosttest.Panic}))
	eventually(t, "quarantine", func() bool { return status(t, s).State == supervisor.StateQuarantined })
	_, err := s.Acquire(t.Context(), "fake")
	var e *supervisor.NotAvailableError
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e.ExitStatus != "exit status 2" || !strings.Contains(e.StderrTail, "goroutine 1") || !strings.Contains(e.Reason, "failed 5 times") {
		t.Errorf("error: %+v", e)
	}
}

func TestUnexpectedCertificate(t *testing.T) {
	// go-plugin's own client dereferences nil here.
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{Start: hosttest.SendCert}, hosttest.Plain))
	if got, err := turn(t.Context(), acquire(t, s), hosttest.Echo, "hi"); err != nil || got != "hi" {
		t.Fatalf("turn: %q, %v", got, err)
	}
}

func TestImpostor(t *testing.T) {
	s := run(t, nil, hosttest.Impostor(t, "fake", "claude"))
	st := status(t, s)
	if st.State != supervisor.StateQuarantined || !strings.Contains(st.LastError, `calls itself "claude"`) {
		t.Fatalf("status: %+v", st)
	}
}

func TestRefusedEntry(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clinvk-backend-fake"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, err := catalog.Scan(t.Context(), catalog.Config{Dirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	s := run(t, nil, entries...)
	st := status(t, s)
	if st.State != supervisor.StateQuarantined || !strings.Contains(st.LastError, "is not executable") || !strings.Contains(st.Remedy, "chmod u+x") {
		t.Fatalf("status: %+v", st)
	}
}

func TestOneBadPluginLeavesOthersAlone(t *testing.T) {
	s := run(t, nil, hosttest.Entry(t, hosttest.Script{}), hosttest.Entry(t, hosttest.Script{Name: "bad", Start: hosttest.Junk}))
	if got, err := turn(t.Context(), acquire(t, s), hosttest.Echo, "hi"); err != nil || got != "hi" {
		t.Fatalf("turn: %q, %v", got, err)
	}
}

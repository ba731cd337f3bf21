//go:build unix

package hosttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/proto/handshake"
)

// argument tells the test binary that it is the plugin now.
const argument = "clinvk-hosttest-plugin"

// Fault is one way to misbehave.
type Fault string

// Faults before and in the handshake.
const (
	Panic          Fault = "panic"           // dies with a stack
	Exit0          Fault = "exit 0"          // ends as if all was well
	Hang           Fault = "hang"            // prints nothing
	Junk           Fault = "junk"            // binary rubbish
	Stray          Fault = "stray"           // a line before the handshake
	LongLine       Fault = "long line"       // 1 MB without a newline
	CloseStdout    Fault = "close stdout"    // no handshake, but alive
	SendCert       Fault = "certificate"     // a certificate nobody asked for, otherwise fine
	NoCert         Fault = "no certificate"  // none though asked for
	BadCert        Fault = "bad certificate" // not one
	WrongCookie    Fault = "wrong cookie"    // expects another host
	WrongCore      Fault = "wrong core"      // go-plugin core protocol 2
	WrongVersion   Fault = "wrong version"   // application protocol 7
	NetRPC         Fault = "netrpc"          // net/rpc instead of gRPC
	DeadSocket     Fault = "dead socket"     // a socket without a listener
	NoSocket       Fault = "no socket"       // an address where nothing is
	ForeignSocket  Fault = "foreign socket"  // a socket elsewhere
	TCP            Fault = "tcp"             // a port
	FrozenSocket   Fault = "frozen socket"   // listens, never answers
	StolenSocket   Fault = "stolen socket"   // another process listens
	NoLiveness     Fault = "no liveness"     // grpc.health.v1 is missing
	WithoutTLS     Fault = "without tls"     // says a certificate, speaks plain
	IgnoreShutdown Fault = "ignore shutdown" // neither RPC, SIGTERM nor EOF ends it
)

// Faults in answers.
const (
	HangDescribe  Fault = "hang Describe"
	HugeDescribe  Fault = "huge Describe" // 100 MB
	ExitDescribe  Fault = "exit in Describe"
	Unimplemented Fault = "unimplemented Describe"
	HangConfigure Fault = "hang Configure"
	FailConfigure Fault = "fail Configure" // an error diagnostic
	WarnConfigure Fault = "warn Configure" // a warning diagnostic
	HangHealth    Fault = "hang Health"    // only once Flag exists
	NotInstalled  Fault = "not installed"  // until Flag exists
	HangModels    Fault = "hang ListModels"
	HugeHealth    Fault = "huge Health"     // 5 MB, only once Flag exists
	HugeModels    Fault = "huge ListModels" // 5 MB a page, and always another page
	IgnoreRelieve Fault = "ignore Relieve"  // says yes and gives nothing up
	HangRelieve   Fault = "hang Relieve"
	NoRelieve     Fault = "no Relieve" // as plugins of before it was
)

// Faults in a turn are asked for by Start.model. All but Echo, Secrets and Slow
// end the process or flood the host.
const (
	Echo           = "echo"            // answers the last text
	Block          = "block"           // Started, then nothing until cancelled
	Secrets        = "secrets"         // answers its environment
	PanicHandler   = "panic"           // panics in the handler
	PanicElsewhere = "goroutine panic" // panics in a goroutine
	ExitNow        = "exit"            // os.Exit(3)
	Segfault       = "segfault"        // SIGSEGV
	StopSelf       = "stop"            // SIGSTOP
	BadRecord      = "bad record"      // {"@message":42} on stderr, then echo
	FloodStderr    = "flood stderr"    // 200 MB, then echo
	FloodStdout    = "flood stdout"    // one line of 1 MB on the real stdout, then echo
	FloodStdio     = "flood stdio"     // 1 MB on os.Stdout, then echo
	HugeAnswer     = "huge answer"     // one message of 100 MB
	Daemon         = "daemon"          // leaves a setsid double fork, answers its pid
	HoldStderr     = "hold stderr"     // leaves a grandchild with its stderr, answers its pid
	LeakSecret     = "leak secret"     // prints its secrets and settings to stderr, then exits
	HogChild       = "hog child"       // has a descendant hold as many MiB as the text says; fails when it dies
	HogSelf        = "hog self"        // holds them itself, until cancelled
	ForkMany       = "fork many"       // leaves as many sleeping processes as the text says, then blocks
)

// Script is what the plugin does.
type Script struct {
	// Name that Describe tells.
	Name string
	// Start is the fault at the start; empty: none.
	Start Fault
	// Answer is the fault in answers; empty: none.
	Answer Fault
	// Starts is a file that counts starts; FaultyStarts bounds how many of them have
	// the faults, 0: all.
	Starts       string
	FaultyStarts int
	// Flag is a file whose existence switches an answer's fault (see HangHealth and
	// NotInstalled).
	Flag string
	// Environment is what Describe asks for.
	Environment []string
	// SpareMB and IdleMB are held by two processes from Configure on, as spares and
	// idle conversations are, until Relieve gives them up.
	SpareMB, IdleMB int
}

// Option changes the manifest of a plugin.
type Option func(*catalog.Manifest)

// Plain sets the transport.
func Plain(m *catalog.Manifest) { m.Transport = catalog.TransportPlain }

// Entry makes a plugin directory with the scripted plugin in it and returns what
// the catalog finds there.
func Entry(t testing.TB, s Script, opts ...Option) catalog.Entry {
	t.Helper()
	if s.Name == "" {
		s.Name = "fake"
	}
	return named(t, s.Name, s, opts...)
}

// Impostor is a plugin whose file has another name than it tells.
func Impostor(t testing.TB, file, tells string) catalog.Entry {
	t.Helper()
	return named(t, file, Script{Name: tells})
}

func named(t testing.TB, name string, s Script, opts ...Option) catalog.Entry {
	t.Helper()
	script, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := &catalog.Manifest{SchemaVersion: 1, Command: []string{
		// Programs built with -race sleep a second before they end, unless told not to.
		"env", "GORACE=atexit_sleep_ms=0", self, argument, string(script),
	}}
	for _, o := range opts {
		o(m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, handshake.NamePrefix+name+".json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// The test binary's directory is whatever the toolchain made it.
	entries, err := catalog.Scan(t.Context(), catalog.Config{Dirs: []string{dir}, Insecure: true})
	if err != nil || len(entries) != 1 || entries[0].Refused != nil {
		t.Fatalf("scanning for the fake plugin: %v, %+v", err, entries)
	}
	return entries[0]
}

// Program is the scripted plugin as a text that can be executed, for tests that put
// it somewhere themselves. Two programs are never the same, so that one can be told
// from the other.
func Program(t testing.TB, s Script) []byte {
	t.Helper()
	if s.Name == "" {
		s.Name = "fake"
	}
	script, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	// Programs built with -race sleep a second before they end, unless told not to.
	return fmt.Appendf(nil, "#!/bin/sh\n# %d\nexec env GORACE=atexit_sleep_ms=0 %s %s %s\n",
		programs.Add(1), quote(self), argument, quote(string(script)))
}

var programs atomic.Int64

// Install puts a program into a plugin directory under the name of a backend, in
// one step, and returns its path.
func Install(t testing.TB, dir, name string, program []byte) string {
	t.Helper()
	path := filepath.Join(dir, handshake.NamePrefix+name)
	if err := os.WriteFile(path+".new", program, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// RuntimeDir makes a private directory whose path is short enough for sockets.
func RuntimeDir(t testing.TB) string {
	t.Helper()
	base := "/tmp"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "ck")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err == nil && len(left) > 0 {
			names := make([]string, 0, len(left))
			for _, e := range left {
				names = append(names, e.Name())
			}
			t.Errorf("left in the runtime directory: %s", strings.Join(names, ", "))
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Run is called first in TestMain. In a process that is the plugin it does not
// return.
func Run() {
	if len(os.Args) != 3 || os.Args[1] != argument {
		return
	}
	if mb := os.Getenv(hogVariable); mb != "" {
		beHog(mb)
		os.Exit(0)
	}
	if path := os.Getenv(strangerVariable); path != "" {
		beStranger(path)
		os.Exit(0)
	}
	var s Script
	if err := json.Unmarshal([]byte(os.Args[2]), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	run(s)
	os.Exit(0)
}

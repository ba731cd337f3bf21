//go:build unix

package hosttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/proto/handshake"
)

// misbehave does what the fault says before or instead of serving; it returns
// when the plugin shall go on as usual.
func misbehave(script Script) {
	dir := os.Getenv(handshake.EnvSocketDir)
	switch script.Start {
	case Panic:
		panic("no heart to start")
	case Exit0:
		os.Exit(0)
	case Hang:
		select {}
	case Junk:
		say("\x00\x01\xff\xfe|\x7f|\n")
		select {}
	case Stray:
		say("listening...\n")
	case LongLine:
		say(strings.Repeat("x", 1<<20))
		select {}
	case CloseStdout:
		_ = os.Stdout.Close()
		select {}
	case SendCert:
		servePlain(script, dir, "|"+strings.Repeat("QUJD", 100))
	case NoCert:
		servePlain(script, dir, "")
	case WithoutTLS:
		servePlain(script, dir, "|"+someCertificate())
	case BadCert:
		servePlain(script, dir, "|"+strings.Repeat("QUJD", 100))
	case WrongCore:
		announce("2", "1", "unix", listen(dir), "grpc")
	case WrongVersion:
		announce("1", "7", "unix", listen(dir), "grpc")
	case NetRPC:
		announce("1", "1", "unix", listen(dir), "netrpc")
	case TCP:
		announce("1", "1", "tcp", "127.0.0.1:9", "grpc")
	case NoSocket:
		announce("1", "1", "unix", filepath.Join(dir, "nothing"), "grpc")
	case ForeignSocket:
		elsewhere, err := os.MkdirTemp("", "ck")
		check(err)
		path := listen(elsewhere)
		defer os.RemoveAll(elsewhere)
		check(os.RemoveAll(elsewhere)) // the host must not even look
		announce("1", "1", "unix", path, "grpc")
	case DeadSocket:
		path := filepath.Join(dir, "dead")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		check(err)
		l.SetUnlinkOnClose(false)
		check(l.Close())
		announce("1", "1", "unix", path, "grpc", someCertificate())
	case FrozenSocket:
		announce("1", "1", "unix", listen(dir), "grpc", someCertificate())
	case StolenSocket:
		path := filepath.Join(dir, "stolen")
		stranger(path)
		announce("1", "1", "unix", path, "grpc", someCertificate())
	case NoLiveness:
		servePlainBackend(script, dir)
	default: // no fault, or one of the server or its answers
	}
}

func say(text string) { _, _ = os.Stdout.WriteString(text) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// announce prints a handshake and waits for the end.
func announce(fields ...string) {
	say(strings.Join(fields, "|") + "\n")
	select {}
}

// listen makes a socket that nobody accepts on.
func listen(dir string) string {
	path := filepath.Join(dir, "s")
	listenOn(path)
	return path
}

// held are files that stay open to the end: one that nothing refers to is closed when
// it is collected.
var held []io.Closer

func listenOn(path string) net.Listener {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "unix", path)
	check(err)
	held = append(held, l)
	return l
}

// servePlain serves the backend without TLS and with this end of the handshake.
func servePlain(script Script, dir, suffix string) {
	path := filepath.Join(dir, "plain")
	l := listenOn(path)
	s := grpc.NewServer()
	backendv1.RegisterBackendServiceServer(s, &backend{script: Script{Name: script.Name}})
	registerLiveness(s)
	say("1|1|unix|" + path + "|grpc" + suffix + "\n")
	check(s.Serve(l))
	os.Exit(0)
}

// servePlainBackend serves it without grpc.health.v1.
func servePlainBackend(script Script, dir string) {
	path := filepath.Join(dir, "plain")
	l := listenOn(path)
	s := grpc.NewServer()
	backendv1.RegisterBackendServiceServer(s, &backend{script: Script{Name: script.Name}})
	say("1|1|unix|" + path + "|grpc|\n")
	check(s.Serve(l))
}

// disaster does what a turn asks for; a text is the answer.
func disaster(kind string) string {
	switch kind {
	case PanicHandler:
		panic("in the handler")
	case PanicElsewhere:
		go func() { panic("in a goroutine") }()
		select {}
	case ExitNow:
		os.Exit(3)
	case Segfault:
		check(syscall.Kill(os.Getpid(), syscall.SIGSEGV))
		select {}
	case StopSelf:
		check(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
		select {}
	case BadRecord:
		toFD(2, `{"@message":42}`+"\n"+`{"@level":"info","@message":"x","@timestamp":42}`+"\n"+`{"@level":[]}`+"\n")
	case FloodStderr:
		line := strings.Repeat("flood ", 200) + "\n"
		chunk := strings.Repeat(line, 1000)
		for n := 0; n < 200<<20; n += len(chunk) {
			toFD(2, chunk)
		}
	case FloodStdout:
		toFD(1, strings.Repeat("y", 1<<20)+"\n")
	case FloodStdio:
		fmt.Println(strings.Repeat("z", 1<<20))
	case HugeAnswer:
		return strings.Repeat("h", huge)
	case Daemon:
		return leave("setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1 </dev/null' &")
	case HoldStderr:
		return leave("sh -c 'echo $$; exec sleep 600' &")
	}
	return ""
}

// toFD writes to the process's own stream: go-plugin replaces os.Stdout and
// os.Stderr.
func toFD(fd int, text string) {
	for b := []byte(text); len(b) > 0; {
		n, err := syscall.Write(fd, b)
		if err != nil {
			return
		}
		b = b[n:]
	}
}

// leave starts something that outlives its shell and returns its pid.
func leave(script string) string {
	r, w, err := os.Pipe()
	check(err)
	cmd := exec.CommandContext(context.Background(), "sh", "-c", script)
	cmd.Stdout = w
	cmd.Stderr = os.NewFile(2, "stderr")
	check(cmd.Run())
	_ = w.Close()
	var b [32]byte
	n, err := r.Read(b[:])
	check(err)
	return strings.TrimSpace(string(b[:n]))
}

// stranger starts a process without the plugin's mark that listens on path.
func stranger(path string) {
	self, err := os.Executable()
	check(err)
	cmd := exec.CommandContext(context.Background(), self, argument, "{}")
	cmd.Env = []string{strangerVariable + "=" + path}
	stdin, err := cmd.StdinPipe() // ends with this process
	check(err)
	held = append(held, stdin)
	check(cmd.Start())
	for range 500 {
		if _, err := os.Stat(path); err == nil { //nolint:gosec // a path of our own
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	panic("the stranger does not listen")
}

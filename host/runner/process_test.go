//go:build linux

package runner

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/proto/handshake"
)

// hello prints the handshake for a socket that the test listens on.
const hello = `echo "1|1|unix|$PLUGIN_UNIX_SOCKET_DIR/s|grpc"; `

// shell is a plugin process in sh.
func shell(t testing.TB, script string) *Process {
	t.Helper()
	dir := socketDir(t)
	return New(Config{
		Name: "one", Path: "/bin/sh", Args: []string{"-c", script}, SocketDir: dir, Plain: true,
		Env: []string{handshake.EnvSocketDir + "=" + dir},
	})
}

func start(t testing.TB, p *Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, p) })
}

func end(t testing.TB, p *Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.Kill(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestProcess(t *testing.T) {
	p := shell(t, hello+"sleep 600")
	if p.ID() != "" || p.PID() != 0 {
		t.Errorf("before the start: %q, %d", p.ID(), p.PID())
	}
	start(t, p)
	if p.ID() != strconv.Itoa(p.PID()) || p.Name() != "/bin/sh" || p.Diagnose(t.Context()) != "" {
		t.Errorf("process: %q, %d, %q", p.ID(), p.PID(), p.Name())
	}
	line, err := io.ReadAll(p.Stdout())
	if err != nil || string(line) != p.offer.line() {
		t.Errorf("stdout for go-plugin: %q, %v", line, err)
	}
	if rest, err := io.ReadAll(p.Stderr()); err != nil || len(rest) != 0 {
		t.Errorf("stderr for go-plugin: %q, %v", rest, err)
	}
	if _, _, err := p.PluginToHost("unix", "/elsewhere"); err == nil {
		t.Error("another address is accepted")
	}
	if n, a, err := p.PluginToHost("unix", p.offer.address); err != nil || n != "unix" || a != p.offer.address {
		t.Errorf("address: %q, %q, %v", n, a, err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Wait(short); !errors.Is(err, context.Canceled) {
		t.Errorf("wait: %v", err)
	}
	end(t, p)
	end(t, p) // a second time changes nothing
	if err := p.Wait(t.Context()); err == nil || err.Error() != "signal: killed" {
		t.Errorf("wait: %v", err)
	}
	if e := p.Exit(); e.Code != -1 || e.Signal != "killed" {
		t.Errorf("exit: %+v", e)
	}
}

func TestEndings(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         Exit
	}{
		{"status 0", "exit 0", Exit{}},
		{"status 7 with words", "echo oh no >&2; exit 7", Exit{Code: 7, StderrTail: "oh no"}},
		{"signal", "kill -TERM $$", Exit{Code: -1, Signal: "terminated"}},
		{"a child holds the pipes", "sleep 600 & exit 3", Exit{Code: 3}},
		{"a child in another session holds the pipes", "setsid sleep 600 & exit 3", Exit{Code: 3}},
		{"a child without our mark holds the pipes", "env -i setsid sleep 0.6 & exit 3", Exit{Code: 3}},
		{"the guard", "cat; exit 5", Exit{Code: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := shell(t, hello+tt.script)
			start(t, p)
			if tt.name == "the guard" {
				p.CloseStdin()
			}
			select {
			case <-p.Done():
			case <-time.After(10 * time.Second):
				t.Fatal("the end is not seen")
			}
			if got := p.Exit(); got != tt.want {
				t.Errorf("exit %#v, want %#v", got, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"ANTHROPIC_API_KEY": "canary", "CLINVK_API_KEYS": "canary", "AWS_SECRET": "canary", "LD_PRELOAD": "", "LC_CLINVK": "kept", "XDG_CLINVK": "kept",
	} {
		t.Setenv(name, value)
	}
	p := shell(t, hello+"env >&2")
	start(t, p)
	<-p.Done()
	got := "\n" + p.Exit().StderrTail + "\n"
	for _, want := range []string{"\nLC_CLINVK=kept\n", "\nXDG_CLINVK=kept\n", "\nPATH=", "\nCLINVK_STDIN_GUARD=1\n", "\nCLINVK_INSTANCE=" + HostID() + "-"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(got, "canary") || strings.Contains(got, "LD_PRELOAD") {
		t.Errorf("a secret reached the plugin: %s", got)
	}
}

func TestKillBeforeAndDuringStart(t *testing.T) {
	before := shell(t, hello+"sleep 600")
	end(t, before)
	if err := before.Start(t.Context()); err == nil {
		t.Fatal("a killed process was started")
	}
	during := shell(t, "echo here >&2; sleep 600")
	result := make(chan error, 1)
	go func() { result <- during.Start(t.Context()) }()
	deadline := time.After(10 * time.Second)
	for during.PID() == 0 {
		select {
		case <-deadline:
			t.Fatal("it does not start")
		case <-time.After(time.Millisecond):
		}
	}
	end(t, during)
	var e *StartError
	if err := <-result; !errors.As(err, &e) || e.Exit == nil || e.Exit.Signal != "killed" {
		t.Fatalf("error: %v", err)
	}
}

func TestNotAProgram(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"text", "just a text", 0o755, "exec format error"},
		{"not executable", "\x7fELF", 0o644, "permission denied"},
		{"missing", "", 0, "no such file"},
		{"interpreter missing", "#!/no/such/interpreter\n", 0o755, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, tt.name)
			c := Config{Name: "one", Path: path, SocketDir: dir, Plain: true}
			if tt.mode != 0 {
				if err := os.WriteFile(path, []byte(tt.text), tt.mode); err != nil {
					t.Fatal(err)
				}
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				c.File = f
			}
			err := New(c).Start(t.Context())
			var e *StartError
			if !errors.As(err, &e) || !e.Permanent || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error: %v", err)
			}
		})
	}
}

// TestSwap shows that what was opened runs, whatever stands at the path by then.
func TestSwap(t *testing.T) {
	dir := socketDir(t)
	original, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		text []byte
		args []string
	}{
		{"binary", original, []string{"-c", hello + "exit 9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "plugin")
			if err := os.WriteFile(path, tt.text, 0o755); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := os.WriteFile(path+".new", []byte("#!/bin/sh\necho swapped\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
			p := New(Config{Name: "one", Path: path, File: f, Args: tt.args, SocketDir: dir, Plain: true, Env: []string{handshake.EnvSocketDir + "=" + dir}})
			start(t, p)
			<-p.Done()
			if e := p.Exit(); e.Code != 9 {
				t.Errorf("exit: %+v", e)
			}
		})
	}
}

// TestScript shows that a plugin may be a script.
func TestScript(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+hello+"exit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := New(Config{Name: "one", Path: path, File: f, SocketDir: dir, Plain: true, Env: []string{handshake.EnvSocketDir + "=" + dir}})
	start(t, p)
	<-p.Done()
	if e := p.Exit(); e.Code != 9 {
		t.Errorf("exit: %+v", e)
	}
}

func TestDialRefusesStrangers(t *testing.T) {
	p := shell(t, hello+"sleep 600")
	start(t, p)
	conn, err := p.Dial(t.Context()) // the test listens there
	if err == nil {
		_ = conn.Close()
		t.Fatal("connected to a stranger")
	}
	if !strings.Contains(err.Error(), "which is not the plugin") {
		t.Errorf("error: %v", err)
	}
}

// marked starts a process with an instance in its environment.
func marked(t testing.TB, instance string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	cmd.Env = []string{handshake.EnvInstance + "=" + instance}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()
	})
	return cmd
}

// deadHost is the identity of a process that has ended.
func deadHost(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun, err := processStart(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	id := base36(uint64(cmd.Process.Pid)) + "-" + base36(begun) + "-" + world()
	if hostDead(id) {
		t.Fatal("a living host counts as dead")
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !hostDead(id) {
		t.Fatal("a dead host counts as living")
	}
	return id
}

func TestSweep(t *testing.T) {
	dead := deadHost(t)
	for _, tt := range []struct {
		name, instance string
		swept          bool
	}{
		{"dead host", dead + "-1", true},
		{"this host", HostID() + "-zzz", false},
		{"another world", strings.TrimSuffix(dead, world()) + "zzzzz-1", false},
		{"start time of another", base36(uint64(os.Getpid())) + "-1-" + world() + "-1", true},
		{"nonsense", "nonsense", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := marked(t, tt.instance)
			if n := Sweep(); n == 0 && tt.swept { // others may have left something too
				t.Error("nothing was swept")
			}
			if gone := !carries(cmd.Process.Pid, func(i string) bool { return i == tt.instance }); gone != tt.swept {
				t.Errorf("gone: %v", gone)
			}
		})
	}
}

func TestDir(t *testing.T) {
	base := filepath.Join(t.TempDir(), "r")
	dead := deadHost(t)
	for _, name := range []string{dead + "-1/sub", "unrelated", dead + "x"} {
		if err := os.MkdirAll(filepath.Join(base, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d, err := NewDir(base)
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewDir(base)
	if err != nil {
		t.Fatal(err)
	}
	path, err := d.Fresh("1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = d.Fresh("1"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(path, "old")); err == nil {
		t.Error("a fresh directory is not empty")
	}
	for _, name := range []string{"", "..", "a/b", ".x"} {
		if _, err := d.Fresh(name); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(other.Path()); err != nil {
		t.Errorf("another directory of this host: %v", err)
	}
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(base)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != dead+"x unrelated" && got != "unrelated "+dead+"x" {
		t.Errorf("left: %s", got)
	}
}

func TestDirLinkRefused(t *testing.T) {
	base := filepath.Join(t.TempDir(), "r")
	if err := os.Symlink(t.TempDir(), base); err != nil {
		t.Fatal(err)
	}
	if _, err := NewDir(base); err == nil {
		t.Fatal("a link is accepted")
	}
}

// TestStopped shows that a stopped process can be killed.
func TestStopped(t *testing.T) {
	p := shell(t, hello+"kill -STOP $$")
	start(t, p)
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	end(t, p)
}

func BenchmarkSweep(b *testing.B) {
	for b.Loop() {
		sweepInstance("nobody")
	}
}

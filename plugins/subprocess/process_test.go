//go:build unix

package subprocess

import (
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, role string, change func(*Config)) *Process {
	t.Helper()
	c := Config{
		Path: os.Args[0], Env: append(Environment(nil, nil), envRole+"="+role),
		Redact: []string{"topsecret"}, InterruptGrace: 50 * time.Millisecond, TermGrace: 50 * time.Millisecond,
	}
	if change != nil {
		change(&c)
	}
	p, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		_ = p.stdout.Close()
	})
	return p
}

func readLine(t *testing.T, p *Process) string {
	t.Helper()
	line, err := p.ReadLine()
	if err != nil {
		t.Fatalf("reading a line: %v; stderr: %s", err, p.StderrTail())
	}
	return string(line)
}

func TestEcho(t *testing.T) {
	p := start(t, "echo", func(c *Config) { c.CloseStdinFirst, c.InterruptGrace = true, 5*time.Second })
	for _, text := range []string{"hello", "", strings.Repeat("é", 200_000)} {
		if err := p.WriteLine([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := readLine(t, p); got != "> "+text {
			t.Fatalf("got %d bytes, want %d", len(got), len(text)+2)
		}
	}
	if e := p.Stop(t.Context()); e.Code != 0 || e.Signal != "" {
		t.Errorf("exit = %v", e)
	}
	if err := p.WriteLine([]byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("writing after the end: %v", err)
	}
	if _, err := p.ReadLine(); err != io.EOF {
		t.Errorf("reading after the end: %v", err)
	}
}

func TestStopSteps(t *testing.T) {
	tests := []struct{ role, signal string }{
		{"echo", "interrupt"},
		{"terminate", "terminated"},
		{"stubborn", "killed"},
	}
	for _, test := range tests {
		t.Run(test.role, func(t *testing.T) {
			p := start(t, test.role, nil)
			if test.role == "echo" {
				if err := p.WriteLine(nil); err != nil {
					t.Fatal(err)
				}
			}
			readLine(t, p)
			e := p.Stop(t.Context())
			// The Go runtime turns an unhandled SIGINT into exit status 2.
			if e.Signal != test.signal && (test.role != "echo" || e.Code != 2) {
				t.Errorf("exit = %v, want %s", e, test.signal)
			}
		})
	}
}

func TestExitTellsStderrRedacted(t *testing.T) {
	p := start(t, "fail", nil)
	<-p.Done()
	e := p.Exit()
	if e.Code != 3 || !strings.Contains(e.StderrTail, "the key [redacted] and [redacted] are wrong") {
		t.Errorf("exit = %+v", e)
	}
	if e.String() != "exit status 3" {
		t.Errorf("text = %q", e.String())
	}
}

func TestDescendantInItsOwnSessionIsEnded(t *testing.T) {
	p := start(t, "daemon", nil)
	// The child tells the pid, the grandchild that it runs, in whatever order.
	said := []string{readLine(t, p), readLine(t, p)}
	slices.Sort(said)
	pid, err := strconv.Atoi(said[0])
	if err != nil || said[1] != "ready" {
		t.Fatalf("child and grandchild said %q", said)
	}
	begin := time.Now()
	p.Kill()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the end took %v though a grandchild held the pipes", took)
	}
	if alive(pid) {
		t.Errorf("grandchild %d lives on", pid)
	}
}

// alive says whether a process runs; a zombie, which only waits for its parent,
// does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestLongLine(t *testing.T) {
	p := start(t, "long", func(c *Config) { c.MaxLine = 1000 })
	if _, err := p.ReadLine(); !errors.Is(err, ErrLineTooLong) {
		t.Fatalf("err = %v", err)
	}
	if got := readLine(t, p); got != "short" {
		t.Errorf("line = %q", got)
	}
	if got := readLine(t, p); got != "no newline" {
		t.Errorf("last line = %q", got)
	}
	if _, err := p.ReadLine(); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}

func TestEnvironmentIsAnAllowList(t *testing.T) {
	t.Setenv("CANARY_SECRET", "x")
	t.Setenv("LC_TEST", "y")
	env := strings.Join(Environment(map[string]string{"API_KEY": "k", "TERM": "dumb"}, map[string]string{"TERM": "", "A": "b"}), "\n")
	for _, want := range []string{"LC_TEST=y", "API_KEY=k", "A=b", "PATH="} {
		if !strings.Contains(env, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, bad := range []string{"CANARY_SECRET", "TERM="} {
		if strings.Contains(env, bad) {
			t.Errorf("%s is there", bad)
		}
	}
}

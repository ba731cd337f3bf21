//go:build linux

package supervisor_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/catalog"
	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/host/supervisor"
)

// hostVariable makes the test binary a host that waits to be killed: it names the
// plugin directory, the state directory and the runtime directory.
const hostVariable = "CLINVK_TEST_HOST"

// beHost starts a plugin with a descendant in a session of its own and says the
// pids of both.
func beHost(dirs string) {
	err := func() error {
		d := strings.Split(dirs, ":")
		entries, err := catalog.Scan(context.Background(), catalog.Config{Dirs: d[:1], Insecure: true})
		if err != nil {
			return err
		}
		s, err := supervisor.New(supervisor.Config{Entries: entries, StateDir: d[1], RuntimeDir: d[2], Timings: quick()})
		if err != nil {
			return err
		}
		if err := s.Start(context.Background()); err != nil {
			return err
		}
		l, err := s.Acquire(context.Background(), "fake")
		if err != nil {
			return err
		}
		pid, err := turn(context.Background(), l, hosttest.Daemon, "")
		if err != nil {
			return err
		}
		st, _ := s.Status("fake")
		fmt.Printf("%d %s\n", st.PID, pid)
		select {}
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilledHost shows that nothing is left two seconds after a host was killed.
func TestKilledHost(t *testing.T) {
	entry := hosttest.Entry(t, hosttest.Script{})
	runtimeDir := hosttest.RuntimeDir(t)
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), hostVariable+"="+strings.TrimSuffix(entry.Path, "/clinvk-backend-fake.json")+":"+t.TempDir()+":"+runtimeDir)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := syscall.Kill(host.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Fields(line) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "a process is gone", func() bool { return dead(pid) })
	}
	eventually(t, "the runtime directory is empty", func() bool {
		left, err := os.ReadDir(runtimeDir)
		return err == nil && len(left) == 0
	})
	t.Logf("clean after %v", time.Since(began))
	_ = host.Wait() // it was killed
}

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/clinvk/clinvk/test/harness"
)

// terminal makes a pseudo terminal: the window, and what a program in it sees.
func terminal(t *testing.T) (window, tty *os.File) {
	t.Helper()
	window, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = window.Close() })
	if err := unix.IoctlSetPointerInt(int(window.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(window.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return window, tty
}

// TestClosedWindow shows that a server ends with the window that it was started in,
// though SIGHUP alone makes it look for plugins only.
func TestClosedWindow(t *testing.T) {
	window, tty := terminal(t)
	home := t.TempDir()
	cmd := exec.Command(filepath.Join(bin, "clinvk"), "serve", "--port", "0", "--plugin-dir", bin)
	cmd.Env = harness.Environment(home, map[string]string{"XDG_RUNTIME_DIR": ""})
	cmd.Stdin = tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = tty.Close() // the server has it
	ended := make(chan error, 1)
	listening := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if strings.Contains(lines.Text(), "listening") {
				close(listening)
			}
		}
		ended <- cmd.Wait()
	}()
	defer func() { _ = cmd.Process.Kill() }()
	select {
	case <-listening:
	case err := <-ended:
		t.Fatalf("the server ended: %v", err)
	case <-time.After(60 * time.Second):
		t.Fatal("the server does not listen")
	}
	if err := syscall.Kill(cmd.Process.Pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	wait(t, "the look", func() bool {
		text, err := os.ReadFile(log.Name())
		return err == nil && strings.Contains(string(text), "looking for plugins")
	})
	if err := window.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the server ended badly: %v", err)
		}
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Signal(syscall.SIGQUIT) // it writes down what it does
		<-ended
		text, _ := os.ReadFile(log.Name())
		t.Errorf("the server goes on without its window:\n%s", text)
	}
}

package runner

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/clinvk/clinvk/proto/handshake"
)

// TestSweepDuringExec shows that a process is found also while it executes another
// program: for a moment it then has no environment that could be read.
func TestSweepDuringExec(t *testing.T) {
	script := filepath.Join(t.TempDir(), "again")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho .\nexec \"$0\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 200 {
		instance := newInstance()
		cmd := exec.Command(script)
		cmd.Env = append(os.Environ(), handshake.EnvInstance+"="+instance)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadByte(); err != nil {
			t.Fatal(err)
		}
		sweepInstance(instance)
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended: // killed it may take a moment to
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			t.Fatal("it was not found")
		}
	}
}

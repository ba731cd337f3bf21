//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/chaos"
	"github.com/clinvk/clinvk/test/harness"
)

// chaosCommand is clinvk chaos with a home of its own.
func chaosCommand(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "clinvk"), append([]string{"chaos"}, args...)...)
	cmd.Env = harness.Environment(t.TempDir(), nil)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	return cmd, &stderr
}

// TestChaos is a short run against the bundled echo and against the example in
// Node.js in both transports.
func TestChaos(t *testing.T) {
	for _, tt := range []struct{ name, backend, dir, duration string }{
		{"echo", "echo", bin, "3s"},
		{"node plain", "node", nodeDir(t, "plain"), "2s"},
		{"node auto", "node", nodeDir(t, "auto"), "2s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.backend != "echo" {
				t.Parallel() // they mostly wait for Node.js to start
			}
			cmd, stderr := chaosCommand(t, "--plugin-dir", tt.dir, "--backend", tt.backend, "--duration", tt.duration, "--kill-every", "200ms", "-o", "json")
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("%v: %s", err, stderr)
			}
			var r chaos.Report
			if err := json.Unmarshal(out, &r); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			t.Logf("%+v", r.Guarantees)
			if !r.OK || len(r.Guarantees) == 0 || len(r.Broken()) > 0 {
				t.Errorf("broken: %v", r.Broken())
			}
			k := r.Kills
			if r.Backend != tt.backend || r.Versions.Backend == "" || k.Kills == 0 || k.Stops == 0 || k.Backend.InFlight == 0 || k.Neighbour.Answered == 0 {
				t.Errorf("too little happened: %+v", r)
			}
		})
	}
}

// TestChaosInterrupted: a Ctrl-C ends it soon, and nothing is left.
func TestChaosInterrupted(t *testing.T) {
	cmd, stderr := chaosCommand(t, "--plugin-dir", bin, "--duration", "10m")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var root string
	var plugins []int
	wait(t, "the plugins", func() bool {
		root, plugins = pluginsOf(cmd.Process.Pid)
		return len(plugins) >= 3
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-exited:
	case <-time.After(30 * time.Second):
		_ = cmd.Process.Kill()
		t.Fatal("it goes on")
	}
	if code := cmd.ProcessState.ExitCode(); code != 7 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit status %d: %s", code, stderr)
	}
	if _, err := os.Stat(root); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", root, err)
	}
	for _, pid := range plugins {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err == nil {
			t.Errorf("plugin %d is left", pid)
		}
	}
}

// pluginsOf lists the plugins of a chaos process, and the directory of its run.
func pluginsOf(parent int) (root string, pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		status, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if !strings.Contains(string(status), "\nPPid:\t"+strconv.Itoa(parent)+"\n") {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		for v := range strings.SplitSeq(string(env), "\x00") {
			if dir, ok := strings.CutPrefix(v, "PLUGIN_UNIX_SOCKET_DIR="); ok {
				root, _, _ = strings.Cut(dir, "/run/")
				pids = append(pids, pid)
			}
		}
	}
	return root, pids
}

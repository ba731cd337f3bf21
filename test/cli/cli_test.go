//go:build unix

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clinvk/clinvk/test/harness"
)

// bin holds the built command.
var bin string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cli:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	harness.HeedHangup()
	if bin, err = os.MkdirTemp("", "clinvk-test-bin-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	for name, pkg := range map[string]string{
		"clinvk": "./cmd/clinvk", "clinvk-backend-echo": "./plugins/echo", "parrot/clinvk-backend-parrot": "./test/cli/parrot",
	} {
		if err := harness.GoBuild(filepath.Join(bin, name), pkg, "-s -w"); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// TestScripts runs the scripts of testdata against the built command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", home)
			e.Setenv("CLINVK_HOME", filepath.Join(home, ".clinvk"))
			e.Setenv("BIN", bin)
			e.Setenv("PARROT", filepath.Join(bin, "parrot"))
			// Addresses of sockets are short, and this directory is the script's own.
			sockets, err := os.MkdirTemp("", "cli")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(sockets) }) // an error leaves an empty directory
			e.Setenv("XDG_RUNTIME_DIR", sockets)
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "serving": serving, "session": session},
	})
}

// exits CODE COMMAND… runs a command and checks how it exits; its output is that of
// exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = fmt.Sprint(exitCode(err))
	}
	if got != args[0] {
		ts.Fatalf("%v exits with %s, not %s", args[1:], got, args[0])
	}
}

// session NAME N sets a variable to the id of the session that is the Nth in the list.
func session(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: session NAME N")
	}
	ts.Check(ts.Exec("clinvk", "sessions", "list", "--json"))
	var list struct{ Sessions []struct{ ID string } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n > len(list.Sessions) {
		ts.Fatalf("there are only %d sessions", len(list.Sessions))
	}
	ts.Setenv(args[0], list.Sessions[n-1].ID)
}

// serving waits until a server of the script's home answers the command line.
func serving(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: serving")
	}
	pattern := filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "clinvk", "*", "server-*.sock")
	deadline := time.Now().Add(startTime)
	for time.Now().Before(deadline) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			ts.Fatalf("%v", err)
		}
		if len(found) == 1 && ready(found[0]) {
			return
		}
		time.Sleep(pollEvery)
	}
	ts.Fatalf("no server answers within %v", startTime)
}

// Timings of waiting for a server.
const (
	startTime = 20 * time.Second
	pollEvery = 10 * time.Millisecond
)

// ready says whether the server behind a socket has started its backends.
func ready(socket string) bool {
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer c.CloseIdleConnections()
	response, err := c.Get("http://localhost/health")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	var health struct{ Status string }
	return json.NewDecoder(response.Body).Decode(&health) == nil && health.Status == "ok"
}

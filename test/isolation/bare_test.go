//go:build linux

package isolation_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// bareVariable makes this program a bare server: what its answers take is the doing of
// the machine, with all that runs on it, and not of the host.
const bareVariable = "CLINVK_TEST_BARE"

// runBare is that server, if this process is to be it. It ends with its stdin.
func runBare() {
	if os.Getenv(bareVariable) == "" {
		return
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"status":"ok"}`) }))
	fmt.Println(s.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// bare is the process of that server.
var bare struct {
	once  sync.Once
	url   string
	err   error
	stdin io.Closer
	cmd   *exec.Cmd
}

// bareURL starts the bare server, once for all tests.
func bareURL(t testing.TB) string {
	t.Helper()
	bare.once.Do(func() { bare.err = startBare() })
	if bare.err != nil {
		t.Fatal(bare.err)
	}
	return bare.url
}

func startBare() error {
	bare.cmd = exec.Command(os.Args[0])
	bare.cmd.Env = append(os.Environ(), bareVariable+"=1")
	stdin, err := bare.cmd.StdinPipe()
	if err != nil {
		return err
	}
	bare.stdin = stdin
	stdout, err := bare.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := bare.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	bare.url = strings.TrimSpace(line)
	return err
}

// stopBare ends it after the last test.
func stopBare() {
	if bare.stdin == nil {
		return
	}
	_ = bare.stdin.Close()
	_ = bare.cmd.Wait()
}

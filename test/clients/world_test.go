//go:build unix

package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/harness"
)

// Paths that all tests use.
var (
	bin     string // the built server
	clis    string // node_modules of the AI CLIs
	modules string // node_modules of the SDKs and programs
	suites  string // the suites in JavaScript
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	root, err := harness.Root()
	if err != nil {
		return 1, err
	}
	suites = filepath.Join(root, "test", "clients", "node")
	for _, needed := range []struct {
		modules *string
		dir     string
		mend    string
	}{
		{&clis, "clis", "make clis"},
		{&modules, "clients", "make clients"},
	} {
		*needed.modules = filepath.Join(root, "test", needed.dir, "node_modules")
		if _, err := os.Stat(filepath.Join(*needed.modules, ".installed")); err != nil {
			return 1, fmt.Errorf("test/%s is not installed (%w): run %s", needed.dir, err, needed.mend)
		}
	}
	if bin, err = os.MkdirTemp("", "clinvk-test-bin-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	if err := harness.Build(bin, "echo"); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// key opens the server of start.
const key = "sk-clinvk-test"

// start starts a server of the suite's own, which takes one key only.
func start(t *testing.T) *harness.Server {
	t.Helper()
	s, err := harness.Start(harness.Options{Bin: bin, Check: true, Env: map[string]string{"CLINVK_API_KEYS": key}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if log := s.Log(); t.Failed() {
			t.Log(log[max(0, len(log)-4000):])
		}
	})
	return s
}

// expectLeft waits until the server has noticed that n clients left in mid-answer,
// and no turn runs.
func expectLeft(t *testing.T, s *harness.Server, n int) {
	t.Helper()
	noticed := func() int { return strings.Count(s.Log(), `error="the request was cancelled"`) }
	await.Until(t, 20*time.Second, "the server notices that its clients left in mid-answer, and runs no turn", func() bool {
		return noticed() >= n && running(t, s) == 0
	})
}

// running is the number of turns that run or wait.
func running(t *testing.T, s *harness.Server) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/api/v1/backends/echo", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var b struct{ Running, Queued int }
	if err := json.NewDecoder(res.Body).Decode(&b); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	return b.Running + b.Queued
}

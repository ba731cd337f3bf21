//go:build unix

package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
	if bin, err = os.MkdirTemp("", "clinvk-test-bin-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	if err := harness.GoBuild(filepath.Join(bin, "clinvk"), "./cmd/clinvk", "-s -w"); err != nil {
		return 1, err
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
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
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

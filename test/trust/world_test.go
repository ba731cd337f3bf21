//go:build unix

package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/clinvk/clinvk/host/hosttest"
	"github.com/clinvk/clinvk/test/harness"
)

// bin holds the built server with its plugins, and two further builds of the echo
// plugin that did not come with it.
var bin string

func TestMain(m *testing.M) {
	hosttest.Run()
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	if bin, err = os.MkdirTemp("", "clinvk-test-bin-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	if err := harness.Build(bin); err != nil {
		return 1, err
	}
	for _, version := range []string{"1", "2"} {
		if err := harness.GoBuild(foreign(version), "./plugins/echo", "-X main.version="+version+".0.0"); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

func foreign(version string) string { return filepath.Join(bin, "foreign-echo-"+version) }

// TestScripts runs the scripts of testdata against the built server and its verbs.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("HOME", home)
			e.Setenv("CLINVK_HOME", filepath.Join(home, ".clinvk"))
			e.Setenv("BIN", bin)
			e.Setenv("ECHO1", foreign("1"))
			e.Setenv("ECHO2", foreign("2"))
			if err := os.Mkdir(home, 0o700); err != nil {
				return err
			}
			return os.Chmod(e.WorkDir, 0o755) // whatever the umask
		},
		Condition: func(cond string) (bool, error) {
			if cond != "root" {
				return false, fmt.Errorf("there is no condition %q", cond)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"install": install, "serve": serve, "backend": backend, "prompt": prompt, "log": log,
		},
	})
}

// install FILE PATH puts an executable to a path in one step.
func install(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: install FILE PATH")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	path := ts.MkAbs(args[1])
	ts.Check(os.WriteFile(path+".new", text, 0o600))
	ts.Check(os.Chmod(path+".new", 0o755))
	ts.Check(os.Rename(path+".new", path))
}

// servers of the scripts, by script.
var servers = map[*testscript.TestScript]*harness.Server{}

// serve PLUGIN-DIR [ARG...] starts a server, which ends with the script, and sets
// SERVER to its address.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: serve PLUGIN-DIR [ARG...]")
	}
	runtime, err := os.MkdirTemp("/tmp", "clv") // sockets need a short path
	ts.Check(err)
	ts.Defer(func() { ts.Check(os.RemoveAll(runtime)) })
	env := map[string]string{"XDG_RUNTIME_DIR": runtime}
	for _, name := range []string{"CLINVK_API_KEYS", "ANTHROPIC_API_KEY"} {
		env[name] = ts.Getenv(name)
	}
	for i, a := range args {
		if strings.HasSuffix(a, ".yaml") {
			args[i] = ts.MkAbs(a)
		}
	}
	s, err := harness.Start(harness.Options{Bin: bin, PluginDir: ts.MkAbs(args[0]), Home: ts.Getenv("HOME"), Args: args[1:], Env: env})
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv("SERVER", s.URL)
	servers[ts] = s
}

// patience is how long servers may take to do what they are expected to.
const patience = 30 * time.Second

// backend NAME KEY=VALUE... waits until the server says so of a backend, and prints
// what it says.
func backend(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: backend NAME KEY=VALUE...")
	}
	var last string
	eventually(ts, func() (bool, string) {
		last = request(ts, http.MethodGet, "/api/v1/backends/"+args[0], "")
		var b map[string]any
		ts.Check(json.Unmarshal([]byte(last), &b))
		for _, want := range args[1:] {
			key, value, _ := strings.Cut(want, "=")
			if fmt.Sprint(b[key]) != value {
				return false, last
			}
		}
		return true, ""
	})
	_, err := io.WriteString(ts.Stdout(), last)
	ts.Check(err)
}

// prompt BACKEND TEXT prints the answer.
func prompt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: prompt BACKEND TEXT")
	}
	body, err := json.Marshal(map[string]any{"backend": args[0], "prompt": args[1], "mode": "chat"})
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), request(ts, http.MethodPost, "/api/v1/prompt", string(body)))
	ts.Check(err)
}

// log TEXT waits until the server's log holds it.
func log(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: log TEXT")
	}
	eventually(ts, func() (bool, string) {
		log := servers[ts].Log()
		return strings.Contains(log, args[0]), log
	})
}

func eventually(ts *testscript.TestScript, ok func() (bool, string)) {
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		came, instead := ok()
		if came {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("it never came true; instead: %s", instead)
		}
	}
}

func request(ts *testscript.TestScript, method, path, body string) string {
	answer, err := ask(context.Background(), method, servers[ts].URL+path, body, ts.Getenv("CLINVK_API_KEYS"))
	ts.Check(err)
	return answer
}

// ask sends a request and returns the body of whatever answer comes.
func ask(ctx context.Context, method, url, body, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return string(answer), err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
)

// releases are the pinned CLIs by their version.
var releases = map[string]string{
	"2.1.330": "@anthropic-ai/claude-code-linux-x64/claude",
	"2.1.197": "claude-code-2.1.197/node_modules/@anthropic-ai/claude-code-linux-x64/claude",
}

const (
	newest = "2.1.330"
	oldest = "2.1.197"
)

func TestMain(m *testing.M) {
	// No CLI under test may see this user's home, nor the network.
	home, err := os.MkdirTemp("", "clinvk-home-")
	if err != nil {
		panic(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "", "NO_PROXY": "127.0.0.1,localhost",
		"XDG_CONFIG_HOME": "", envConfigDir: "",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	// A test mostly waits for the start of a CLI, which works on one core; one test more
	// fills the pauses.
	if err := flag.Set("test.parallel", strconv.Itoa(1+runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := removeShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = os.RemoveAll(home)
	os.Exit(code)
}

// release returns the path of a pinned CLI.
func release(tb testing.TB, version string) string {
	tb.Helper()
	_, file, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(file), "..", "..", "test", "clis", "node_modules", releases[version])
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("claude %s is missing (%v): run `make clis`", version, err)
	}
	return path
}

// fixture is a backend with the real CLI in front of the fake API.
type fixture struct {
	tb      testing.TB
	backend *backend
	client  backendv1.BackendServiceClient
	api     *anthropic.Server
	root    string
	config  plugins.Config
}

type change func(*plugins.Config)

// newFixture makes one that ends with the test.
func newFixture(tb testing.TB, version string, changes ...change) *fixture {
	tb.Helper()
	f, err := makeFixture(release(tb, version), changes...)
	if err != nil {
		tb.Fatal(err)
	}
	f.tb = tb
	f.client = backendtest.Connect(tb, f.backend)
	tb.Cleanup(func() {
		if err := f.remove(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

// sharedFixtures is how many of a release there are. More would keep more spares that
// nobody needs.
const sharedFixtures = 2

// shared are the fixtures that most tests use, one test at a time: the spares of one
// test serve the next, and the start of a CLI is what costs time here. One that was not
// needed yet is nil.
var shared = map[string]chan *fixture{newest: idleFixtures(), oldest: idleFixtures()}

func idleFixtures() chan *fixture {
	idle := make(chan *fixture, sharedFixtures)
	for range sharedFixtures {
		idle <- nil
	}
	return idle
}

// removeShared removes those that were made.
func removeShared() error {
	var failed []error
	for _, idle := range shared {
		for len(idle) > 0 {
			if f := <-idle; f != nil {
				failed = append(failed, f.remove())
			}
		}
	}
	return errors.Join(failed...)
}

// borrowFixture is a shared one of a release, without conversations of other tests.
func borrowFixture(t *testing.T, version string) *fixture {
	t.Helper()
	path := release(t, version)
	known := <-shared[version]
	t.Cleanup(func() { shared[version] <- known })
	if known == nil {
		made, err := makeFixture(path)
		if err != nil {
			t.Fatal(err)
		}
		known = made
	}
	f := *known
	f.tb = t
	f.client = backendtest.Connect(t, f.backend)
	f.api.Log.Reset()
	for _, none := range []bool{true, false} {
		f.backend.live.relieve(none)
	}
	return &f
}

// eachRelease runs a test with both generations of the CLI, in shared fixtures, beside
// other tests.
func eachRelease(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Helper()
	eachOf(t, borrowFixture, test)
}

// eachReleaseWith does so in fixtures of the test's own.
func eachReleaseWith(t *testing.T, c change, test func(t *testing.T, f *fixture)) {
	t.Helper()
	eachOf(t, func(t *testing.T, version string) *fixture {
		t.Helper()
		return newFixture(t, version, c)
	}, test)
}

func eachOf(t *testing.T, fixtureFor func(*testing.T, string) *fixture, test func(*testing.T, *fixture)) {
	t.Helper()
	t.Parallel()
	for _, version := range []string{newest, oldest} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			test(t, fixtureFor(t, version))
		})
	}
}

// cold keeps no spares.
func cold(c *plugins.Config) { c.Warm = 0 }

// ownConfig keeps sessions apart from those of other tests, and no spares.
func ownConfig(c *plugins.Config) {
	cold(c)
	c.Environment[envConfigDir] = filepath.Join(filepath.Dir(c.ScratchDir), "config")
}

// makeFixture starts a backend with the CLI at command.
func makeFixture(command string, changes ...change) (*fixture, error) {
	api, err := anthropic.NewServer()
	if err != nil {
		return nil, err
	}
	root, err := os.MkdirTemp("", "clv") // short: the CLI makes sockets in it
	if err != nil {
		return nil, err
	}
	f := &fixture{api: api, root: root, config: plugins.Config{
		StateDir: filepath.Join(root, "state"), ScratchDir: filepath.Join(root, "s"), Warm: -1,
		Command:     command,
		Environment: map[string]string{"ANTHROPIC_BASE_URL": api.URL, envAPIKey: "test-key-0123456789"},
	}}
	for _, c := range changes {
		c(&f.config)
	}
	return f, f.start()
}

// start makes a backend.
func (f *fixture) start() error {
	f.backend = newBackend()
	if d := f.backend.Configure(context.Background(), f.config); len(d) > 0 {
		return fmt.Errorf("configure: %v", d)
	}
	return nil
}

// stop ends the backend and finds what it has left behind.
func (f *fixture) stop() error {
	if err := f.backend.Close(context.Background()); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	if left := f.processes(); len(left) > 0 {
		return fmt.Errorf("processes are left: %v", left)
	}
	entries, err := os.ReadDir(filepath.Join(f.root, "s", "claude"))
	if err != nil || len(entries) > 0 {
		return fmt.Errorf("directories of processes are left: %v, %w", entries, err)
	}
	return nil
}

// remove ends everything.
func (f *fixture) remove() error {
	return errors.Join(f.stop(), f.api.Close(), os.RemoveAll(f.root))
}

// restart replaces the backend, as when the plugin's process is started again.
func (f *fixture) restart() {
	f.tb.Helper()
	if err := errors.Join(f.stop(), f.start()); err != nil {
		f.tb.Fatal(err)
	}
	f.client = backendtest.Connect(f.tb, f.backend)
}

// processes lists those that belong to this fixture: its scratch directory is in
// their environment.
func (f *fixture) processes() []int {
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	var out []int
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(env, []byte(f.root)) {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/environ", &pid); err == nil && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out
}

// kill is kill -9.
func kill(tb testing.TB, pid int) {
	tb.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// waitProcesses waits until that many processes run: no fewer when more are to
// come, no more when some have to go.
func (f *fixture) waitProcesses(n int) {
	f.tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		got := len(f.processes())
		if got == n {
			return
		}
		if time.Now().After(deadline) {
			f.tb.Errorf("%d processes run, want %d", got, n)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (f *fixture) run(start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	f.tb.Helper()
	return f.runIn(f.tb.Context(), start, opts...)
}

func (f *fixture) runIn(ctx context.Context, start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	f.tb.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // for a busy machine
	defer cancel()
	return backendtest.Run(ctx, f.client, start, opts...)
}

// complete runs a turn that must end well.
func (f *fixture) complete(start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	f.tb.Helper()
	r := f.run(start, opts...)
	if r.Err != nil || r.Completed == nil {
		f.tb.Fatalf("the turn did not complete: %v, %v", r.Err, r.Failed)
	}
	return r
}

// received is the last conversation that reached the API.
func (f *fixture) received() (string, []anthropic.Message) {
	f.tb.Helper()
	turns := f.api.Log.Turns()
	if len(turns) == 0 {
		f.tb.Fatal("nothing reached the API")
	}
	return anthropic.Conversation(turns[len(turns)-1])
}

// body is the last request's.
func (f *fixture) body() map[string]any {
	f.tb.Helper()
	turns := f.api.Log.Turns()
	var body map[string]any
	if err := json.Unmarshal(turns[len(turns)-1].Body, &body); err != nil {
		f.tb.Fatal(err)
	}
	return body
}

// warm waits until the pool is full, so that measurements are of warm processes.
func (f *fixture) warm() {
	f.tb.Helper()
	await.Until(f.tb, time.Minute, "the pool is full", func() bool { return f.backend.pool.Idle() >= defaultWarm })
}

func message(role backendv1.Role, texts ...string) *backendv1.Message {
	m := &backendv1.Message{Role: role}
	for _, t := range texts {
		m.Parts = append(m.Parts, &backendv1.Part{Content: &backendv1.Part_Text{Text: t}})
	}
	return m
}

func user(texts ...string) *backendv1.Message {
	return message(backendv1.Role_ROLE_USER, texts...)
}

func assistant(texts ...string) *backendv1.Message {
	return message(backendv1.Role_ROLE_ASSISTANT, texts...)
}

// chat is a turn in chat mode.
func chat(messages ...*backendv1.Message) *backendv1.Start {
	return &backendv1.Start{Mode: backendv1.Mode_MODE_CHAT, System: "You are terse.", Messages: messages}
}

// words renders a conversation for comparison: one line for each block.
func words(messages []anthropic.Message) string {
	var b strings.Builder
	for _, m := range messages {
		for _, p := range m.Parts {
			fmt.Fprintf(&b, "%s %s: %q\n", m.Role, p.Kind, p.Text)
		}
	}
	return b.String()
}

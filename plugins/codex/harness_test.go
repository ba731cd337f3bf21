package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// The tests run the real CLI against a fake model server on loopback, with a
// home of its own and no way to anywhere else.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "clinvk-codex-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, value := range map[string]string{
		"HOME": home, "CODEX_HOME": "", "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9",
		"NO_PROXY": "127.0.0.1,localhost", "https_proxy": "", "http_proxy": "", "no_proxy": "127.0.0.1,localhost",
	} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	if code == 0 {
		// The thread that forks the CLIs stays on purpose, see package subprocess.
		if err := goleak.Find(goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/plugins/subprocess.init.func1.1")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	_ = os.RemoveAll(home) // what is left does no harm
	os.Exit(code)
}

// pinnedCLI is the CLI that the tests run, as npm installed it.
func pinnedCLI(tb testing.TB) string {
	tb.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "test", "clis", "node_modules", ".bin", "codex"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("the pinned Codex CLI is missing, run `make clis`: %v", err)
	}
	return path
}

// fixture is a backend with its model server.
type fixture struct {
	api     *openai.Server
	backend *backend
	client  backendv1.BackendServiceClient
	home    string
	config  plugins.Config
}

type option func(*plugins.Config, *fixture)

func withSettings(json string) option {
	return func(c *plugins.Config, _ *fixture) { c.Settings = []byte(json) }
}

func withWarm(n int) option { return func(c *plugins.Config, _ *fixture) { c.Warm = n } }

func withWebSocket(mode openai.WebSocket) option {
	return func(_ *plugins.Config, f *fixture) { f.api.SetWebSocket(mode) }
}

func withEnvironment(env map[string]string) option {
	return func(c *plugins.Config, f *fixture) {
		env[envHome] = f.home
		c.Environment = env
	}
}

// start configures a backend for the pinned CLI and a new fake model server.
func start(tb testing.TB, opts ...option) *fixture {
	tb.Helper()
	f := &fixture{api: openai.New(tb), home: filepath.Join(tb.TempDir(), "codex")}
	c := plugins.Config{
		StateDir: tb.TempDir(), ScratchDir: tb.TempDir(), Command: pinnedCLI(tb), Warm: -1,
		Environment: map[string]string{envOpenAIKey: "sk-fake-key-0123456789", envBaseURL: f.api.URL, envHome: f.home},
	}
	for _, o := range opts {
		o(&c, f)
	}
	f.config = c
	f.connect(tb)
	tb.Cleanup(func() { f.close(tb) })
	return f
}

func (f *fixture) connect(tb testing.TB) {
	tb.Helper()
	f.backend = newBackend()
	for _, d := range f.backend.Configure(tb.Context(), f.config) {
		tb.Fatalf("configure: %v %v", d.Summary, d.Detail)
	}
	f.client = backendtest.Connect(tb, f.backend)
}

func (f *fixture) close(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := f.backend.Close(ctx); err != nil {
		tb.Errorf("close: %v", err)
	}
}

// restart is the end of the plugin and a new one with the same directories.
func (f *fixture) restart(tb testing.TB) {
	tb.Helper()
	f.close(tb)
	f.connect(tb)
}

func (f *fixture) run(tb testing.TB, start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	r := backendtest.Run(ctx, f.client, start, opts...)
	if r.Err != nil {
		tb.Fatalf("the stream broke: %v", r.Err)
	}
	return r
}

// chat runs one user message.
func (f *fixture) chat(tb testing.TB, prompt string) *backendtest.Result {
	tb.Helper()
	return f.run(tb, &backendv1.Start{Mode: backendv1.Mode_MODE_CHAT, Messages: []*backendv1.Message{user(prompt)}})
}

// warmUp waits until a turn works and forgets it.
func (f *fixture) warmUp(tb testing.TB) {
	tb.Helper()
	if r := f.chat(tb, "warm up"); r.Failed != nil {
		tb.Fatalf("warming up: %v", r.Failed)
	}
	f.api.Log.Reset()
}

func message(role backendv1.Role, text string) *backendv1.Message {
	return &backendv1.Message{Role: role, Parts: []*backendv1.Part{{Content: &backendv1.Part_Text{Text: text}}}}
}

func user(text string) *backendv1.Message      { return message(backendv1.Role_ROLE_USER, text) }
func assistant(text string) *backendv1.Message { return message(backendv1.Role_ROLE_ASSISTANT, text) }

// transports are both ways to the model server.
var transports = []struct {
	name     string
	settings string
}{
	{"socket", `{}`},
	{"events", `{"transport":"sse"}`},
}

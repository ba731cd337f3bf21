package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

// cli is the pinned Gemini CLI.
func cli(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	path := filepath.Join(dir, "test", "clis", "node_modules", ".bin", "gemini")
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("the pinned Gemini CLI is missing (%v): run `make clis`", err)
	}
	return path
}

// system is a backend, its CLI's fake API and a client, all in this process.
type system struct {
	client  backendv1.BackendServiceClient
	backend *backend
	api     *gemini.Server
	scratch string
	state   string // empty: no sessions are kept
}

type systemOption func(*backendv1.ConfigureRequest)

func withConfig(name string, value any) systemOption {
	return func(r *backendv1.ConfigureRequest) {
		v, err := structpb.NewValue(value)
		if err != nil {
			panic(err)
		}
		r.Config.Fields[name] = v
	}
}

func withWarm(n uint32) systemOption { return func(r *backendv1.ConfigureRequest) { r.Warm = &n } }

func withEnv(name, value string) systemOption {
	return func(r *backendv1.ConfigureRequest) { r.Environment[name] = value }
}

func withCommand(path string) systemOption {
	return func(r *backendv1.ConfigureRequest) { r.Command = path }
}

// isolate keeps the CLI from the user's own state and from the network.
func isolate(home string) map[string]string {
	return map[string]string{
		"HOME": home, "HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "", "NO_PROXY": "127.0.0.1,localhost",
	}
}

// newSystem starts a backend that is closed at the test's end, after which no
// process and no file may be left.
func newSystem(t *testing.T, opts ...systemOption) *system {
	t.Helper()
	for name, value := range isolate(t.TempDir()) {
		t.Setenv(name, value)
	}
	s := &system{backend: newBackend(), api: gemini.New(t), scratch: t.TempDir()}
	s.client = backendtest.Connect(t, s.backend)
	configure(t, s, opts...)
	t.Cleanup(func() {
		if err := s.backend.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
		left, err := os.ReadDir(s.scratch)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the scratch directory: %v (%v)", left, err)
		}
	})
	return s
}

func configure(tb testing.TB, s *system, opts ...systemOption) {
	tb.Helper()
	r := &backendv1.ConfigureRequest{
		Config: &structpb.Struct{Fields: map[string]*structpb.Value{}}, ScratchDir: s.scratch, StateDir: s.state, Command: cli(tb),
		Environment: map[string]string{"GEMINI_API_KEY": "canary-key", "GOOGLE_GEMINI_BASE_URL": s.api.URL},
	}
	for _, o := range opts {
		o(r)
	}
	if r.Environment["CODE_ASSIST_ENDPOINT"] != "" {
		r.Environment["CODE_ASSIST_ENDPOINT"] = s.api.URL
	}
	d, err := s.client.Configure(context.Background(), r)
	if err != nil || len(d.GetDiagnostics()) > 0 {
		tb.Fatalf("configure: %v %v", d, err)
	}
}

var shared struct {
	once sync.Once
	*system
}

// common is a backend that many tests use one after the other, as its users do.
func common(t *testing.T) *system {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "clinvk-gemini")
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range isolate(dir) {
			_ = os.Setenv(name, value)
		}
		api, err := gemini.NewServer()
		if err != nil {
			t.Fatal(err)
		}
		s := &system{backend: newBackend(), api: api, scratch: filepath.Join(dir, "scratch"), state: filepath.Join(dir, "state")}
		configureDirect(t, s)
		shared.system = s
	})
	if shared.system == nil {
		t.Fatal("the common backend did not start")
	}
	return &system{
		backend: shared.backend, api: shared.api, scratch: shared.scratch, state: shared.state,
		client: backendtest.Connect(t, shared.backend),
	}
}

func configureDirect(t *testing.T, s *system) {
	s.client = backendtest.Connect(t, s.backend)
	configure(t, s)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if s := shared.system; s != nil {
		_ = s.backend.Close(context.Background())
		_ = s.api.Close()
		if left, _ := os.ReadDir(s.scratch); len(left) > 0 {
			fmt.Fprintln(os.Stderr, "left in the scratch directory:", left)
			code = 1
		}
		_ = os.RemoveAll(filepath.Dir(s.scratch))
	}
	os.Exit(code)
}

func user(text string) *backendv1.Message {
	return &backendv1.Message{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{textPart(text)}}
}

func assistant(text string) *backendv1.Message {
	return &backendv1.Message{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{textPart(text)}}
}

func textPart(text string) *backendv1.Part {
	return &backendv1.Part{Content: &backendv1.Part_Text{Text: text}}
}

func chat(messages ...*backendv1.Message) *backendv1.Start {
	return &backendv1.Start{ExecutionId: "test", Mode: backendv1.Mode_MODE_CHAT, Messages: messages}
}

// run executes a turn within 30 seconds.
func (s *system) run(t *testing.T, start *backendv1.Start, opts ...backendtest.Option) *backendtest.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return backendtest.Run(ctx, s.client, start, opts...)
}

// complete executes a turn that must complete, and returns what reached the API.
func (s *system) complete(t *testing.T, start *backendv1.Start) (*backendtest.Result, *fakeapi.Request) {
	t.Helper()
	before := len(s.api.Log.Turns())
	r := s.run(t, start)
	if r.Err != nil || r.Failed != nil {
		t.Fatalf("the turn failed: %v %v", r.Err, r.Failed)
	}
	turns := s.api.Log.Turns()[before:]
	if len(turns) != 1 {
		t.Fatalf("%d model calls, want 1", len(turns))
	}
	return r, turns[0]
}

func body(t *testing.T, r *fakeapi.Request) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.Body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

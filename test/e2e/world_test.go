//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
	"github.com/clinvk/clinvk/test/harness"
)

// world is one server with all backends and their fake model APIs, shared by the
// tests that do not break it.
type world struct {
	server *harness.Server
	fakes  *fakes
}

type fakes struct {
	anthropic *anthropic.Server
	openai    *openai.Server
	gemini    *gemini.Server
}

var (
	bin    string // the built binaries
	clis   string // the pinned CLIs
	shared *world
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	harness.HeedHangup()
	if clis, err = harness.CLIs(); err != nil {
		return 1, err
	}
	if bin, err = os.MkdirTemp("", "clinvk-test-bin-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(bin)
	if err := harness.Build(bin); err != nil {
		return 1, err
	}
	f, err := newFakes()
	if err != nil {
		return 1, err
	}
	defer f.close()
	server, err := harness.Start(harness.Options{Bin: bin, Env: f.environment(), Check: true})
	if err != nil {
		return 1, err
	}
	shared = &world{server: server, fakes: f}
	code = m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, tail(server.Log(), 20_000))
	}
	if whole := flag.Lookup("test.run").Value.String() == ""; whole && code == 0 && server.Checked() < 100 {
		return 1, fmt.Errorf("%d exchanges were held against the OpenAPI document: the tests use another address", server.Checked())
	}
	return code, server.Close()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func newFakes() (*fakes, error) {
	a, err := anthropic.NewServer()
	if err != nil {
		return nil, err
	}
	o, err := openai.NewServer()
	if err != nil {
		return nil, err
	}
	g, err := gemini.NewServer()
	return &fakes{a, o, g}, err
}

func (f *fakes) close() {
	_ = f.anthropic.Close()
	_ = f.openai.Close()
	_ = f.gemini.Close()
}

// environment points all three CLIs at the fakes, as a user would.
func (f *fakes) environment() map[string]string {
	return map[string]string{
		"PATH":               clis + string(os.PathListSeparator) + os.Getenv("PATH"),
		"ANTHROPIC_BASE_URL": f.anthropic.URL, "ANTHROPIC_API_KEY": "sk-ant-fake-key-for-tests",
		"OPENAI_BASE_URL": f.openai.URL, "OPENAI_API_KEY": "sk-fake-key-for-tests",
		"GOOGLE_GEMINI_BASE_URL": f.gemini.URL, "GEMINI_API_KEY": "AIza-fake-key-for-tests",
	}
}

// newWorld is a world of the test's own, for tests that break things.
func newWorld(t *testing.T, o harness.Options) *world {
	t.Helper()
	f, err := newFakes()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	o.Bin, o.Check = bin, true
	env := f.environment()
	for k, v := range o.Env {
		env[k] = v
	}
	o.Env = env
	s, err := harness.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(tail(s.Log(), 8000))
		}
	})
	return &world{server: s, fakes: f}
}

// message is one message in neutral form.
type message struct{ Role, Text string }

// upstream is the fake model API behind a backend.
type upstream struct {
	log          *fakeapi.Log
	conversation func(*fakeapi.Request) (string, []message)
	additions    func(*fakeapi.Request) []string
	outputTokens func(fakeapi.Script) int
	usage        usage // of every answer, but the output
	errorMessage func(status int) string
}

// usage in the contract's sense: the input includes cached tokens.
type usage struct{ Input, Output, CacheRead, CacheWrite, Reasoning int64 }

// realBackends are those with a real CLI.
var realBackends = []string{"claude", "codex", "gemini"}

func (w *world) upstream(backend string) upstream {
	switch backend {
	case "claude":
		return upstream{
			log: w.fakes.anthropic.Log, additions: anthropic.Additions, outputTokens: anthropic.OutputTokens, errorMessage: anthropic.ErrorMessage,
			usage: usage{Input: anthropic.TotalInputTokens, CacheRead: anthropic.CacheReadTokens, CacheWrite: anthropic.CacheWriteTokens, Reasoning: anthropic.ReasoningTokens},
			conversation: func(r *fakeapi.Request) (system string, out []message) {
				system, messages := anthropic.Conversation(r)
				for _, m := range messages {
					out = append(out, message{m.Role, m.Text()})
				}
				return system, out
			},
		}
	case "codex":
		return upstream{
			log: w.fakes.openai.Log, outputTokens: openai.OutputTokens, errorMessage: openai.ErrorMessage,
			usage: usage{Input: openai.InputTokens, CacheRead: openai.CacheReadTokens, CacheWrite: openai.CacheWriteTokens, Reasoning: openai.ReasoningTokens},
			additions: func(r *fakeapi.Request) (out []string) {
				for _, name := range openai.Tools(r) {
					out = append(out, "tool "+name)
				}
				return out
			},
			conversation: func(r *fakeapi.Request) (system string, out []message) {
				system, messages := openai.Conversation(r)
				for _, m := range messages {
					out = append(out, message{m.Role, m.Text()})
				}
				return system, out
			},
		}
	case "gemini":
		return upstream{
			log: w.fakes.gemini.Log, outputTokens: gemini.OutputTokens, errorMessage: gemini.ErrorMessage,
			usage: usage{Input: gemini.InputTokens, CacheRead: gemini.CacheReadTokens, Reasoning: gemini.ReasoningTokens},
			additions: func(r *fakeapi.Request) (out []string) {
				for _, name := range gemini.Tools(r) {
					out = append(out, "tool "+name)
				}
				return append(out, gemini.Additions(r)...)
			},
			conversation: func(r *fakeapi.Request) (system string, out []message) {
				system, messages := gemini.Conversation(r)
				for _, m := range messages {
					role := m.Role
					if role == "model" {
						role = "assistant"
					}
					out = append(out, message{role, m.Text()})
				}
				return system, out
			},
		}
	}
	panic("no upstream for " + backend)
}

// find returns the model calls whose body holds text.
func (u upstream) find(text string) (out []*fakeapi.Request) {
	quoted, _ := json.Marshal(text)
	needle := bytes.Trim(quoted, `"`)
	for _, r := range u.log.Turns() {
		if bytes.Contains(r.Body, needle) {
			out = append(out, r)
		}
	}
	return out
}

var nonces atomic.Int64

// nonce is a word that occurs nowhere else, not even within another.
func nonce() string { return fmt.Sprintf("nonce%dx%dx", os.Getpid(), nonces.Add(1)) }

// script parses what a prompt makes the fakes do.
func script(t *testing.T, prompt string) fakeapi.Script {
	t.Helper()
	s, err := fakeapi.ParseScript(prompt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

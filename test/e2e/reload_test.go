//go:build unix

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

// change puts a valid configuration in place and waits until it holds.
func (w *configWorld) change(text, key string) {
	w.t.Helper()
	before := w.stateWith(key)
	w.write(text)
	wait(w.t, "the change", func() bool {
		s := w.stateWith(key)
		if s.FailedAt.After(before.FailedAt) {
			w.t.Fatalf("it was refused: %s", s.Error)
		}
		return s.LoadedAt.After(before.LoadedAt)
	})
}

// refuse puts one in place that must be refused for these reasons.
func (w *configWorld) refuse(text, key string, why ...string) {
	w.t.Helper()
	before := w.stateWith(key)
	w.write(text)
	wait(w.t, "the refusal", func() bool { return w.stateWith(key).FailedAt.After(before.FailedAt) })
	s := w.stateWith(key)
	for _, reason := range why {
		if !strings.Contains(s.Error, reason) {
			w.t.Errorf("%q is not in %q", reason, s.Error)
		}
	}
	if !s.LoadedAt.Equal(before.LoadedAt) {
		w.t.Error("something was loaded")
	}
}

// get asks for the models, with a key and what a proxy would say.
func (w *configWorld) get(path, key, forwarded string) (status int, header http.Header, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if forwarded != "" {
		req.Header.Set("X-Forwarded-For", forwarded)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// TestKeysFile: the keys of the file hold, change with it, and never vanish by mistake.
func TestKeysFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	put := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	// The hash is that of "alpha".
	const alice = "alice:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\n"
	put(alice, 0o600)
	text := baseConfig + "server: {api_keys_file: " + path + "}\n"
	w := newConfigWorld(t, text, nil)
	want := func(key string, status int) {
		t.Helper()
		if got, _, body := w.get("/v1/models", key, ""); got != status {
			t.Errorf("key %q: status %d, want %d: %s", key, got, status, body)
		}
	}
	want("alpha", 200)
	want("", 401)
	want("beta", 401)
	wait(t, "the name in the log", func() bool { return strings.Contains(w.server.Log(), "key=alice") })
	put(alice+"beta\n", 0o600)
	wait(t, "the second key", func() bool { s, _, _ := w.get("/v1/models", "beta", ""); return s == 200 })
	want("alpha", 200)
	before := w.stateWith("alpha")
	put("gamma\n", 0o644)
	wait(t, "the refusal", func() bool { return w.stateWith("alpha").FailedAt.After(before.FailedAt) })
	if s := w.stateWith("alpha"); !strings.Contains(s.Error, "chmod 600") || !position.MatchString(s.Error) {
		t.Errorf("%s", s.Error)
	}
	want("alpha", 200)
	want("gamma", 401)
	put("gamma\n", 0o600)
	wait(t, "the third key", func() bool { s, _, _ := w.get("/v1/models", "gamma", ""); return s == 200 })
	want("alpha", 401)
	w.refuse(baseConfig+"server: {api_keys_file: "+path+".none}\n", "gamma", "no such file", ":3:25: server.api_keys_file cannot be used")
	want("gamma", 200)
	want("", 401)
	// What was missing comes, and the configuration that wanted it holds.
	path += ".none"
	put("delta\n", 0o600)
	wait(t, "the file that was missing", func() bool { s, _, _ := w.get("/v1/models", "delta", ""); return s == 200 })
	want("gamma", 401)
}

// TestRateLimit: it can be switched on, and is told in the form of each dialect.
func TestRateLimit(t *testing.T) {
	w := newConfigWorld(t, baseConfig, map[string]string{"CLINVK_API_KEYS": "one,two,three,four"})
	const limit = "rate_limit_enabled: true, rate_limit_rps: 0.01, rate_limit_burst: 1"
	w.change(baseConfig+"server: {"+limit+"}\n", "one")
	for i, d := range []struct{ path, want string }{
		{"/openai/v1/models", `"error":{`}, {"/anthropic/v1/models", `"rate_limit_error"`}, {"/api/v1/backends", `"code":"rate_limited"`},
	} {
		key := []string{"one", "two", "three"}[i]
		if status, _, body := w.get(d.path, key, ""); status != 200 {
			t.Errorf("%s: status %d: %s", d.path, status, body)
		}
		status, header, body := w.get(d.path, key, "")
		if status != 429 || header.Get("Retry-After") == "" || !strings.Contains(body, d.want) || !strings.Contains(body, "too many requests") {
			t.Errorf("%s: status %d, %v: %s", d.path, status, header, body)
		}
	}
	// Another change does not make the server forget.
	w.change(baseConfig+"server: {"+limit+", cors_max_age: 1}\n", "one")
	if status, _, _ := w.get("/openai/v1/models", "one", ""); status != 429 {
		t.Errorf("after a change: status %d", status)
	}
	w.change(baseConfig, "one")
	if status, _, _ := w.get("/openai/v1/models", "one", ""); status != 200 {
		t.Errorf("without a limit: status %d", status)
	}
}

// TestTrustedProxies: addresses of clients are taken from those that are trusted only.
func TestTrustedProxies(t *testing.T) {
	const limit = "rate_limit_enabled: true, rate_limit_rps: 0.01, rate_limit_burst: 1"
	w := newConfigWorld(t, baseConfig+"server: {"+limit+"}\n", nil)
	want := func(client string, status int) {
		t.Helper()
		if got, _, _ := w.get("/v1/models", "", client); got != status {
			t.Errorf("%s: status %d, want %d", client, got, status)
		}
	}
	want("192.0.2.1", 200)
	want("192.0.2.2", 429) // says who?
	w.change(baseConfig+"server: {"+limit+", trusted_proxies: [127.0.0.0/8]}\n", "")
	want("192.0.2.1", 200)
	want("192.0.2.1", 429)
	want("192.0.2.2", 200)
	want("192.0.2.9, 192.0.2.2", 429)
}

// TestReloadBackend changes a backend's settings while a turn of it runs.
func TestReloadBackend(t *testing.T) {
	w := newConfigWorld(t, baseConfig, nil)
	backend := func() harness.Backend {
		t.Helper()
		b, err := w.server.Backend(t.Context(), "echo")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := backend()
	began, answer := make(chan struct{}), make(chan error, 1)
	const text = "one two three four five six seven eight"
	go func() {
		r, err := openaiChat.do(t.Context(), w.server.URL, ask{model: "echo/slow", history: prompt(text), stream: true, onDelta: func() { close(began) }})
		if err == nil && (r.err != nil || r.text != text) {
			err = fmt.Errorf("%+v", r)
		}
		answer <- err
	}()
	<-began
	w.change(baseConfig+"backends: {echo: {env: {NEW: '1'}}}\n", "")
	after, err := w.server.WaitBackend(t.Context(), "echo", func(b harness.Backend) bool { return b.PID != before.PID })
	if err != nil || !after.Available {
		t.Fatalf("%+v %v", after, err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the turn that ran: %v", err)
	}
	w.refuse(baseConfig+"backends:\n  echo:\n    options: {nonsense: 1}\nmodels: {other: {backend: echo}}\n", "",
		":5:25: backends.echo.options.nonsense is set, and the plugin takes no options")
	if w.has("other") || backend().PID != after.PID {
		t.Error("half of it was taken")
	}
	w.change(baseConfig+"backends: {echo: {enabled: false}}\n", "")
	if err := w.ask("echo", "x", false); err == nil {
		t.Error("what is switched off answers")
	}
	w.change(baseConfig+"backends: {echo: {enabled: true}}\nserver: {port: 1, host: localhost, strict_params: true}\n", "")
	wait(t, "the backend", func() bool { return w.ask("echo", "again", true) == nil })
	if s := w.state(); !slices.Equal(s.AfterRestart, []string{"server.host", "server.port"}) {
		t.Errorf("after a restart: %v", s.AfterRestart)
	}
}

// TestReloadLimits: turns that wait for their place are let in as new limits have it.
func TestReloadLimits(t *testing.T) {
	w := newConfigWorld(t, "plugins: {allow: [echo]}\nlimits: {max_concurrent: 1}\n", nil)
	began, done := make(chan struct{}), make(chan error, 2)
	text := strings.TrimSpace(strings.Repeat("word ", 40))
	go func() {
		_, err := openaiChat.do(t.Context(), w.server.URL, ask{model: "echo/slow", history: prompt(text), stream: true, onDelta: func() { close(began) }})
		done <- err
	}()
	<-began
	second := make(chan error, 1)
	go func() { second <- w.ask("echo", "waits", false) }()
	select {
	case err := <-second:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	w.change("plugins: {allow: [echo]}\nlimits: {max_concurrent: 2}\n", "")
	select {
	case err := <-second:
		if err != nil {
			t.Error(err)
		}
	case err := <-done:
		t.Errorf("the first turn was over before the second began: %v", err)
	}
}

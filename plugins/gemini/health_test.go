package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func seconds(s float64) *durationpb.Duration {
	return durationpb.New(time.Duration(s * float64(time.Second)))
}

func (s *system) health(t *testing.T, deep bool) *backendv1.HealthResponse {
	t.Helper()
	h, err := s.client.Health(context.Background(), &backendv1.HealthRequest{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHealth(t *testing.T) {
	s := common(t)
	h := s.health(t, false)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_READY || h.GetVersions()["gemini"] != "0.61.0" {
		t.Errorf("health = %v", h)
	}
	if n := len(s.api.Log.Requests()); n != len(s.api.Log.Turns()) {
		t.Errorf("%d requests that are no turns", n-len(s.api.Log.Turns()))
	}
}

func TestNotInstalled(t *testing.T) {
	bin := t.TempDir()
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+path)
	s := newSystem(t, withCommand(filepath.Join(bin, "gemini")))
	h := s.health(t, true)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED || h.GetRemedy() != installCommand {
		t.Errorf("health = %v", h)
	}
	r := s.run(t, chat(user("hi")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || !strings.Contains(r.Failed.GetMessage(), installCommand) {
		t.Errorf("failed = %v, %v", r.Failed, r.Err)
	}
	if err := os.Symlink(cli(t), filepath.Join(bin, "gemini")); err != nil {
		t.Fatal(err)
	}
	if h := s.health(t, false); h.GetState() != backendv1.HealthState_HEALTH_STATE_READY || h.GetVersions()["gemini"] != "0.61.0" {
		t.Errorf("health after the installation = %v", h)
	}
	s.stillWorks(t)
}

func TestNotLoggedIn(t *testing.T) {
	s := newSystem(t, withEnv("GEMINI_API_KEY", ""))
	h := s.health(t, true)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_UNAUTHENTICATED || h.GetRemedy() != loginCommand || h.GetMessage() != notLoggedIn {
		t.Errorf("health = %v", h)
	}
	r := s.run(t, chat(user("hi")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED || r.Failed.GetMessage() != notLoggedIn {
		t.Errorf("failed = %v, %v", r.Failed, r.Err)
	}
}

func TestTooOld(t *testing.T) {
	for version, want := range map[string]bool{
		"0.60.9": true, "0.61.0": false, "0.61.0-nightly.1": false, "0.62.0": false, "1.0.0": false, "": false, "dev": false,
	} {
		if got := tooOld(version); got != want {
			t.Errorf("%q too old: %v", version, got)
		}
	}
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("gemini", "#!/bin/sh\nexit 3\n", 0o700)
	write("package.json", `{"name":"@google/gemini-cli","version":"0.1.2"}`, 0o600)
	s := newSystem(t, withCommand(filepath.Join(dir, "gemini")))
	h := s.health(t, false)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED || !strings.Contains(h.GetMessage(), "0.1.2 is too old") || h.GetRemedy() != installCommand {
		t.Errorf("health = %v", h)
	}
}

func TestBrokenCLI(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "gemini")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho no such thing >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newSystem(t, withCommand(broken))
	r := s.run(t, chat(user("hi")))
	f := r.Failed
	if f.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || f.GetExitCode() != 3 || !strings.Contains(f.GetStderrTail(), "no such thing") {
		t.Errorf("failed = %v, %v", f, r.Err)
	}
}

func TestFindLogin(t *testing.T) {
	home := t.TempDir()
	env := func(pairs ...string) map[string]string {
		m := map[string]string{"GEMINI_CLI_HOME": home}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Join(home, ".gemini"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".gemini", name), []byte(text), 0o000); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want loginKind, env map[string]string) {
		t.Helper()
		if got := findLogin(env).kind; got != want {
			t.Errorf("login = %q, want %q", got, want)
		}
	}
	check(noLogin, env())
	check(loginKey, env("GEMINI_API_KEY", "x", "GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1"))
	check(noLogin, env("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1"))
	check(loginVertex, env("GOOGLE_GENAI_USE_VERTEXAI", "true", "GEMINI_API_KEY", "x"))
	check(loginVertex, env("GOOGLE_API_KEY", "x"))
	write("oauth_creds.json", "unreadable")
	check(loginGoogle, env())
	check(loginKey, env("GEMINI_API_KEY", "x"))
}

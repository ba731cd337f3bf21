package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func health(t *testing.T, f *fixture, deep bool) *backendv1.HealthResponse {
	t.Helper()
	h, err := f.client.Health(t.Context(), &backendv1.HealthRequest{Deep: deep})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHealthWithKey(t *testing.T) {
	f := start(t)
	h := health(t, f, false)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_READY || h.GetVersions()["codex"] != "0.169.0" {
		t.Errorf("health = %v", h)
	}
}

func TestNotLoggedIn(t *testing.T) {
	f := start(t, withEnvironment(map[string]string{}))
	h := health(t, f, false)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_UNAUTHENTICATED || h.GetRemedy() != loginCommand {
		t.Errorf("health = %v", h)
	}
	r := f.chat(t, "hi")
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED || !strings.Contains(r.Failed.GetMessage(), loginCommand) {
		t.Errorf("failed = %v", r.Failed)
	}
	// Logging in is noticed. This is what `codex login --with-api-key` writes.
	if err := os.MkdirAll(f.home, 0o700); err != nil {
		t.Fatal(err)
	}
	login := `{"auth_mode":"apikey","OPENAI_API_KEY":"sk-fake-key-0123456789","tokens":null,"last_refresh":null}`
	if err := os.WriteFile(filepath.Join(f.home, "auth.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	if h := health(t, f, true); h.GetState() != backendv1.HealthState_HEALTH_STATE_READY {
		t.Errorf("health after the login = %v", h)
	}
	// The CLI now tries to reach its provider, which the proxy of the tests refuses.
	// (In agent mode it would first try for six seconds to get the provider's models.)
	f.chat(t, "the first turn also starts the CLI")
	began := time.Now()
	if r := f.chat(t, "hi"); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE || time.Since(began) > errorTime {
		t.Errorf("after the login: failed = %v after %v", r.Failed, time.Since(began))
	}
	private := filepath.Join(f.backend.home.dir, "auth.json")
	if to, err := os.Readlink(private); err != nil || to != filepath.Join(f.home, "auth.json") {
		t.Errorf("the private home's login links to %q (%v)", to, err)
	}
	p, err := findProgram(pinnedCLI(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.output(t.Context(), []string{envHome + "=" + f.backend.home.dir, "HOME=" + t.TempDir()}, "login", "status"); err != nil {
		t.Errorf("the login is not found in the private home: %v", err)
	}
}

func TestInstallingTheCLIIsNoticed(t *testing.T) {
	dir := t.TempDir()
	command := filepath.Join(dir, "codex")
	f := start(t, func(c *plugins.Config, _ *fixture) { c.Command = command })
	h := health(t, f, false)
	if h.GetState() != backendv1.HealthState_HEALTH_STATE_NOT_INSTALLED || h.GetRemedy() != installCommand {
		t.Errorf("health = %v", h)
	}
	r := f.chat(t, "hi")
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || !strings.Contains(r.Failed.GetMessage(), installCommand) {
		t.Errorf("failed = %v", r.Failed)
	}
	if err := os.Symlink(pinnedCLI(t), command); err != nil {
		t.Fatal(err)
	}
	if r := f.chat(t, "hi [[tokens=1]]"); r.Text != "tok0 " {
		t.Errorf("text %q, failed %v", r.Text, r.Failed)
	}
	if h := health(t, f, false); h.GetState() != backendv1.HealthState_HEALTH_STATE_READY {
		t.Errorf("health after the installation = %v", h)
	}
}

func TestNativeProgramIsFound(t *testing.T) {
	p, err := findProgram(pinnedCLI(t))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(p.path) == ".js" || !strings.Contains(p.path, "vendor") {
		t.Errorf("the program is %s", p.path)
	}
}

func TestGrownLogIsRemoved(t *testing.T) {
	h := home{dir: t.TempDir()}
	for name, size := range map[string]int64{"logs_2.sqlite": maxLog, "logs_2.sqlite-wal": 1, "state_5.sqlite": 1} {
		if err := os.WriteFile(filepath.Join(h.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(h.dir, name), size); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.trim(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(h.dir)
	if err != nil || len(left) != 1 || left[0].Name() != "state_5.sqlite" {
		t.Errorf("left: %v (%v)", left, err)
	}
}

func TestModels(t *testing.T) {
	f := start(t, withSettings(`{"model":"gpt-5.5"}`))
	r, err := f.client.ListModels(t.Context(), &backendv1.ListModelsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	models := r.GetModels()
	if len(models) < 3 || models[0].GetId() != "gpt-5.5" || !models[0].GetIsDefault() || models[1].GetIsDefault() {
		t.Errorf("models = %v", models)
	}
	if run := f.chat(t, "hi"); run.Completed.GetModel() != "gpt-5.5" {
		t.Errorf("completed = %v, failed %v", run.Completed, run.Failed)
	}
}

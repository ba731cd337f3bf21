package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi/anthropic"
)

func TestErrorsOfTheProvider(t *testing.T) {
	tests := []struct {
		script     string
		code       backendv1.ErrorCode
		status     uint32
		retryable  bool
		retryAfter time.Duration
	}{
		{"status=400", backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST, 400, false, 0},
		{"status=401", backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED, 401, false, 0},
		{"status=403", backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED, 403, false, 0},
		{"status=404", backendv1.ErrorCode_ERROR_CODE_NOT_FOUND, 404, false, 0},
		{"status=413", backendv1.ErrorCode_ERROR_CODE_TOO_LARGE, 413, false, 0},
		{"status=429", backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, 429, true, 0},
		{"status=429 retry_after=1", backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, 429, true, time.Second},
		{"status=429 retry_after=7", backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, 429, true, 7 * time.Second},
		{"status=500", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 500, true, 0},
		{"status=502", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 502, true, 0},
		{"status=503 retry_after=30", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 503, true, 30 * time.Second},
		{"status=529", backendv1.ErrorCode_ERROR_CODE_OVERLOADED, 529, true, 0},
	}
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, test := range tests {
			t.Run(test.script, func(t *testing.T) {
				f.tb = t
				f.api.Log.Reset()
				r := f.run(chat(user("[[" + test.script + "]]")))
				e, turns := r.Failed, f.api.Log.Turns()
				if e == nil || r.Text != "" || r.Started != nil || len(turns) == 0 {
					t.Fatalf("text %q, completed %v, failed %v, err %v", r.Text, r.Completed, e, r.Err)
				}
				after := time.Since(turns[0].At)
				if e.GetCode() != test.code || e.GetUpstreamStatus() != test.status || e.GetRetryable() != test.retryable || e.GetRetryAfter().AsDuration() != test.retryAfter {
					t.Errorf("failed = %v", e)
				}
				if !strings.Contains(e.GetMessage(), anthropic.ErrorMessage(int(test.status))) {
					t.Errorf("message %q is not the provider's", e.GetMessage())
				}
				t.Logf("%v, %d requests: %v", after.Round(time.Millisecond), len(turns), e.GetMessage())
			})
		}
	})
}

func TestOneQuickRetry(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	r := f.complete(chat(user("[[status=503 fails=1]]")))
	if r.Text != "tok0 tok1 tok2 " || len(f.api.Log.Turns()) != 2 {
		t.Errorf("text %q after %d requests", r.Text, len(f.api.Log.Turns()))
	}
	if n := r.Completed.GetUsage().GetInputTokens(); n != anthropic.TotalInputTokens {
		t.Errorf("input tokens = %d", n)
	}
}

func TestCutMidstreamRepeatsNothing(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		r := f.run(chat(user("[[tokens=6 gap=50ms cut=3]]")))
		if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE || !r.Failed.GetRetryable() {
			t.Errorf("failed = %v", r.Failed)
		}
		// The CLI may drop what it had not read when the connection broke.
		if all := "tok0 tok1 tok2 "; r.Text == "" || !strings.HasPrefix(all, r.Text) || len(f.api.Log.Turns()) != 1 {
			t.Errorf("text %q after %d requests", r.Text, len(f.api.Log.Turns()))
		}
	})
}

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, cold, func(c *plugins.Config) { c.Environment["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:1" })
	r := f.run(chat(user("hello")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE || !r.Failed.GetRetryable() {
		t.Errorf("failed = %v", r.Failed)
	}
}

// waitGone waits until the API has seen the client leave, from an answer that goes on
// much longer.
func (f *fixture) waitGone() {
	f.tb.Helper()
	turns := f.api.Log.Turns()
	await.Until(f.tb, 20*time.Second, "the connection is closed", func() bool { return !turns[len(turns)-1].Gone().IsZero() })
}

func TestCancelClosesTheConnection(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, script := range []string{"[[tokens=1000 gap=50ms]]", "[[hang]]", "[[tokens=3 hangat=2]]"} {
			f.warm()
			f.api.Log.Reset()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); f.runIn(ctx, chat(user(script))) }()
			if _, err := f.api.Log.WaitTurns(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			cancel()
			f.waitGone()
			<-done
			t.Logf("%s: gone after %v", script, time.Since(begin).Round(time.Millisecond))
		}
		if r := f.complete(chat(user("next"))); r.Text == "" {
			t.Error("the next turn says nothing")
		}
	})
}

func TestInterruptKeepsWhatWasSaid(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		for _, script := range []string{"[[tokens=1000 gap=30ms]]", "[[tokens=9 gap=1ms hangat=3]]"} {
			f.warm()
			f.api.Log.Reset()
			begin := time.Now()
			deltas := 0
			r := f.run(chat(user(script)), backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
				if e.GetTextDelta() == nil {
					return
				}
				if deltas++; deltas == 3 {
					begin = time.Now()
					_ = s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}})
				}
			}))
			if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED || !strings.HasPrefix(r.Text, "tok0 tok1 tok2 ") {
				t.Errorf("%s: %v, %v, text %q", script, r.Completed, r.Failed, r.Text)
			}
			if n := r.Completed.GetUsage().GetInputTokens(); n != anthropic.TotalInputTokens {
				t.Errorf("input tokens = %d", n)
			}
			t.Logf("it took %v", time.Since(begin))
			f.waitGone()
		}
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := borrowFixture(t, newest)
	start := chat(user("[[hang]]"))
	start.Timeout = durationpb.New(700 * time.Millisecond)
	begin := time.Now()
	r := f.run(start)
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_TIMEOUT {
		t.Errorf("after %v: %v, %v", time.Since(begin), r.Failed, r.Err)
	}
}

func TestKilledCLI(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, cold)
	for _, script := range []string{"[[tokens=1000 gap=20ms]]", "[[hang]]"} {
		f.api.Log.Reset()
		done := make(chan *backendtest.Result, 1)
		go func() { done <- f.runIn(t.Context(), chat(user(script))) }()
		if _, err := f.api.Log.WaitTurns(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		for _, pid := range f.processes() {
			kill(t, pid)
		}
		r := <-done
		if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || !strings.Contains(r.Failed.GetMessage(), "killed") {
			t.Errorf("%s: %v, %v", script, r.Failed, r.Err)
		}
		t.Logf("%s: it took %v", script, time.Since(killed))
	}
	f.complete(chat(user("next")))
}

func TestMissingCLI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFixture(t, newest, cold, func(c *plugins.Config) { c.Command = filepath.Join(dir, "claude") })
	r := f.run(chat(user("hello")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || !strings.Contains(r.Failed.GetMessage(), installRemedy) {
		t.Errorf("failed = %v", r.Failed)
	}
	h, err := f.backend.Health(t.Context(), false)
	if err != nil || h.State != plugins.HealthNotInstalled || h.Remedy != installRemedy {
		t.Errorf("health = %+v, %v", h, err)
	}
	if err := os.Symlink(release(t, newest), filepath.Join(dir, "claude")); err != nil {
		t.Fatal(err)
	}
	h, err = f.backend.Health(t.Context(), false)
	if err != nil || h.State != plugins.HealthReady || h.Versions["claude"] != newest {
		t.Errorf("health after the installation = %+v, %v", h, err)
	}
	f.complete(chat(user("hello")))
}

// health asks until the CLI has answered: on a busy machine it may be late.
func (f *fixture) health(deep bool) (plugins.Health, error) {
	for {
		begin := time.Now()
		h, err := f.backend.Health(f.tb.Context(), deep)
		if d := time.Since(begin); d > 3*time.Second {
			f.tb.Errorf("health took %v", d)
		}
		if err != nil || h.State != plugins.HealthDegraded {
			return h, err
		}
	}
}

func TestNoLogin(t *testing.T) {
	eachReleaseWith(t, func(c *plugins.Config) {
		cold(c)
		delete(c.Environment, envAPIKey)
	}, func(t *testing.T, f *fixture) {
		for _, deep := range []bool{false, true} {
			h, err := f.health(deep)
			if err != nil || h.State != plugins.HealthUnauthenticated || h.Remedy != loginRemedy || h.Versions["claude"] == "" {
				t.Errorf("health = %+v, %v", h, err)
			}
		}
		r := f.run(chat(user("hello")))
		if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED || !strings.Contains(r.Failed.GetMessage(), loginRemedy) {
			t.Errorf("failed = %v, %v", r.Failed, r.Err)
		}
		if n := len(f.api.Log.Requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestLogin uses a token that stands for the user's login, which bare mode ignores.
func TestLogin(t *testing.T) {
	eachReleaseWith(t, func(c *plugins.Config) {
		cold(c)
		delete(c.Environment, envAPIKey)
		c.Environment["CLAUDE_CODE_OAUTH_TOKEN"] = "sk-ant-oat01-test-token"
	}, func(t *testing.T, f *fixture) {
		h, err := f.health(false)
		if err != nil || h.State != plugins.HealthReady {
			t.Errorf("health = %+v, %v", h, err)
		}
		r := f.complete(chat(user("one"), assistant("two"), user("three")))
		system, messages := f.received()
		if r.Text == "" || system != "You are terse." || words(messages) != "user text: \"one\"\nassistant text: \"two\"\nuser text: \"three\"\n" {
			t.Errorf("system %q, messages:\n%s", system, words(messages))
		}
		if auth := f.api.Log.Turns()[0].Header.Get("Authorization"); auth != "Bearer sk-ant-oat01-test-token" {
			t.Errorf("authorization = %q", auth)
		}
	})
}

func TestModelsAreTheCLIs(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		models, err := f.backend.Models(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		defaults := 0
		for i, m := range models {
			if ids[m.ID] || m.ID == "" || m.Title == "" {
				t.Errorf("model %d = %+v", i, m)
			}
			ids[m.ID] = true
			if m.Default {
				defaults++
			}
		}
		if len(models) < 3 || defaults != 1 || !models[0].Default {
			t.Errorf("models = %+v", models)
		}
		if n := len(f.api.Log.Requests()); n != 0 {
			t.Errorf("%d requests", n)
		}
		t.Log(fmt.Sprint(models))
	})
}

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

func TestUpstreamErrors(t *testing.T) {
	s := common(t)
	tests := []struct {
		script string
		code   backendv1.ErrorCode
		status uint32
		wait   time.Duration
		retry  bool
	}{
		{"[[status=400]]", backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST, 400, 0, false},
		{"[[status=401]]", backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED, 401, 0, false},
		{"[[status=403]]", backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED, 403, 0, false},
		{"[[status=404]]", backendv1.ErrorCode_ERROR_CODE_NOT_FOUND, 404, 0, false},
		{"[[status=413]]", backendv1.ErrorCode_ERROR_CODE_TOO_LARGE, 413, 0, false},
		{"[[status=429]]", backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, 429, 0, true},
		{"[[status=429 retry_after=7]]", backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, 429, 7 * time.Second, true},
		{"[[status=500]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 500, 0, true},
		{"[[status=502]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 502, 0, true},
		{"[[status=503]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 503, 0, true},
		{"[[status=503 retry_after=3]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 503, 3 * time.Second, true},
		{"[[status=529]]", backendv1.ErrorCode_ERROR_CODE_OVERLOADED, 529, 0, true},
		// The CLI does not tell a connection that was refused from one that broke before the answer.
		{"[[cut=0]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE, 0, 0, true},
		{"[[cut=2]]", backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, 0, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			before := len(s.api.Log.Turns())
			r := s.run(t, chat(user(tt.script)))
			f := r.Failed
			if r.Err != nil || f == nil {
				t.Fatalf("no failure: %v %q", r.Err, r.Text)
			}
			if f.GetCode() != tt.code || f.GetUpstreamStatus() != tt.status || f.GetRetryAfter().AsDuration() != tt.wait || f.GetRetryable() != tt.retry {
				t.Errorf("failed = %v", f)
			}
			if tt.status != 0 && !strings.Contains(f.GetMessage(), gemini.ErrorMessage(int(tt.status))) {
				t.Errorf("message = %q", f.GetMessage())
			}
			if strings.Contains(f.GetMessage(), "{") || strings.Contains(f.GetMessage(), "Suggested") {
				t.Errorf("the message is not for people: %q", f.GetMessage())
			}
			if n := len(s.api.Log.Turns()) - before; n != 1 {
				t.Errorf("%d model calls", n)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := newSystem(t, withEnv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9"))
	r := s.run(t, chat(user("hi")))
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE || !r.Failed.GetRetryable() {
		t.Errorf("failed = %v, %v", r.Failed, r.Err)
	}
}

// begun runs a turn and calls f once, in its own goroutine, when the model was
// called, and when text is wanted, after the first text.
func (s *system) begun(t *testing.T, ctx context.Context, start *backendv1.Start, f func(backendv1.BackendService_ExecuteClient)) *backendtest.Result {
	t.Helper()
	done := false
	return backendtest.Run(ctx, s.client, start, backendtest.OnEvent(func(e *backendv1.ExecuteResponse, c backendv1.BackendService_ExecuteClient) {
		if e.GetTextDelta() != nil && !done {
			done = true
			f(c)
		}
	}))
}

// awaitGone waits until the API has noticed that the client has left.
func (s *system) awaitGone(t *testing.T) {
	t.Helper()
	turns := s.api.Log.Turns()
	await.Until(t, time.Minute, "the upstream connection is closed", func() bool { return !turns[len(turns)-1].Gone().IsZero() })
}

func (s *system) stillWorks(t *testing.T) {
	t.Helper()
	if r, _ := s.complete(t, chat(user("again [[tokens=1]]"))); r.Text != "tok0 " {
		t.Errorf("the next turn said %q", r.Text)
	}
}

func TestCancel(t *testing.T) {
	s := common(t)
	t.Run("while text comes", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.begun(t, ctx, chat(user("[[tokens=20000 gap=20ms]]")), func(backendv1.BackendService_ExecuteClient) {
			cancel()
		})
		s.awaitGone(t)
		s.stillWorks(t)
	})
	t.Run("before text", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := len(s.api.Log.Turns())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			backendtest.Run(ctx, s.client, chat(user("[[hang]]")))
		}()
		wait, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		if _, err := s.api.Log.WaitTurns(wait, n+1); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-ended
		s.awaitGone(t)
		s.stillWorks(t)
	})
}

func TestTimeout(t *testing.T) {
	s := common(t)
	start := chat(user("[[tokens=20000 gap=20ms]]"))
	start.Timeout = seconds(0.3)
	r := s.run(t, start)
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_TIMEOUT {
		t.Errorf("failed = %v, %v", r.Failed, r.Err)
	}
	s.stillWorks(t)
}

func TestInterrupt(t *testing.T) {
	s := common(t)
	r := s.begun(t, context.Background(), chat(user("[[tokens=20000 gap=20ms]]")), func(c backendv1.BackendService_ExecuteClient) {
		if err := c.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
			t.Error(err)
		}
	})
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
		t.Fatalf("completed = %v, failed = %v, %v", r.Completed, r.Failed, r.Err)
	}
	if !strings.HasPrefix(r.Text, "tok0 ") || r.Completed.GetUsage().GetOutputTokens() == 0 || !r.Completed.GetUsage().GetEstimated() {
		t.Errorf("text = %q, usage = %v", r.Text, r.Completed.GetUsage())
	}
	s.awaitGone(t)
	s.stillWorks(t)
}

// TestNothingStays looks for a word of a conversation in everything that the CLI
// has written.
func TestNothingStays(t *testing.T) {
	s := newSystem(t)
	const nonce = "unforgettable-7d1f"
	start := chat(user(nonce), assistant(nonce), user(nonce+" [[echo]]"))
	start.System = nonce
	s.complete(t, start)
	s.run(t, chat(user(nonce+"[[status=400]]")))
	err := filepath.WalkDir(s.scratch, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(b), nonce) || strings.Contains(string(b), "canary-key")) {
			t.Errorf("a trace in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

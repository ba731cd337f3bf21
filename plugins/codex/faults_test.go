package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// errorTime is how soon an error of the model server must be told: much sooner than a CLI
// that goes on to try would give up.
const errorTime = 15 * time.Second

func TestUpstreamErrors(t *testing.T) {
	tests := []struct {
		status    int
		code      backendv1.ErrorCode
		retryable bool
	}{
		{400, backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST, false},
		{401, backendv1.ErrorCode_ERROR_CODE_UNAUTHENTICATED, false},
		{403, backendv1.ErrorCode_ERROR_CODE_PERMISSION_DENIED, false},
		{404, backendv1.ErrorCode_ERROR_CODE_NOT_FOUND, false},
		{413, backendv1.ErrorCode_ERROR_CODE_TOO_LARGE, false},
		{429, backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED, true},
		{500, backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, true},
		{502, backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, true},
		{503, backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, true},
		{504, backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE, true},
		{529, backendv1.ErrorCode_ERROR_CODE_OVERLOADED, true},
	}
	for _, transport := range transports {
		f := start(t, withSettings(transport.settings))
		f.warmUp(t)
		for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
			for _, test := range tests {
				if mode == backendv1.Mode_MODE_AGENT && test.status != http.StatusTooManyRequests && test.status != http.StatusInternalServerError {
					continue // the path is the same
				}
				for _, retryAfter := range []time.Duration{0, 7 * time.Second} {
					name := fmt.Sprintf("%s/%s/%d/%v", transport.name, mode, test.status, retryAfter)
					t.Run(name, func(t *testing.T) {
						prompt := fmt.Sprintf("%s [[status=%d]]", name, test.status)
						if retryAfter > 0 {
							prompt += fmt.Sprintf("[[retry_after=%d]]", int(retryAfter.Seconds()))
						}
						began := time.Now()
						r := f.run(t, &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user(prompt)}})
						if took := time.Since(began); took > errorTime {
							t.Errorf("it took %v", took)
						}
						if r.Failed.GetCode() != test.code || int(r.Failed.GetUpstreamStatus()) != test.status || r.Failed.GetRetryable() != test.retryable {
							t.Errorf("failed = %v", r.Failed)
						}
						if got := r.Failed.GetRetryAfter().AsDuration(); got != retryAfter && (test.retryable || got != 0) {
							t.Errorf("retry after %v", got)
						}
						if r.Text != "" || strings.Contains(r.Failed.GetMessage(), "sk-") || r.Failed.GetMessage() == "" {
							t.Errorf("text %q, message %q", r.Text, r.Failed.GetMessage())
						}
					})
				}
			}
		}
	}
}

func TestOneQuickRetry(t *testing.T) {
	for _, transport := range transports {
		f := start(t, withSettings(transport.settings))
		f.warmUp(t)
		for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
			t.Run(transport.name+" "+mode.String(), func(t *testing.T) {
				f.api.Log.Reset()
				r := f.run(t, &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user(mode.String() + " [[status=503 fails=1]]")}})
				if r.Text != "tok0 tok1 tok2 " || len(f.api.Log.Turns()) != 2 {
					t.Errorf("text %q after %d requests (%v)", r.Text, len(f.api.Log.Turns()), r.Failed)
				}
				if n := r.Completed.GetUsage().GetInputTokens(); n != openai.InputTokens {
					t.Errorf("input tokens = %d", n)
				}
				f.api.Log.Reset()
				r = f.run(t, &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user(mode.String() + " [[status=500]]")}})
				if n := len(f.api.Log.Turns()); n != 2 || r.Failed == nil {
					t.Errorf("%d requests before the failure", n)
				}
			})
		}
	}
}

func TestUnknownModelIsNotFound(t *testing.T) {
	f := start(t)
	f.api.SetModels("gpt-5.5")
	r := f.run(t, &backendv1.Start{Model: "gpt-mistyped", Messages: []*backendv1.Message{user("hi")}})
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_NOT_FOUND || !strings.Contains(r.Failed.GetMessage(), "gpt-mistyped") {
		t.Errorf("failed = %v", r.Failed)
	}
	if r := f.run(t, &backendv1.Start{Model: "gpt-5.5", Messages: []*backendv1.Message{user("hi")}}); r.Failed != nil || r.Completed.GetModel() != "gpt-5.5" {
		t.Errorf("failed = %v, completed = %v", r.Failed, r.Completed)
	}
}

func TestBrokenAnswers(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			r := f.chat(t, "[[tokens=5 cut=2]]")
			if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE || r.Text != "tok0 tok1 " {
				t.Errorf("cut: text %q, failed %v", r.Text, r.Failed)
			}
			r = f.chat(t, "[[cut=0]]")
			if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE || r.Text != "" {
				t.Errorf("cut at once: text %q, failed %v", r.Text, r.Failed)
			}
			r = f.chat(t, "[[finish=length]]")
			if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_LENGTH || r.Text != "tok0 tok1 tok2 " {
				t.Errorf("length: text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
			}
			r = f.chat(t, "[[finish=filter]]")
			if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_CONTENT_FILTER || r.Text != "tok0 tok1 tok2 " {
				t.Errorf("filter: text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
			}
			if r := f.chat(t, "again"); r.Failed != nil {
				t.Errorf("afterwards: %v", r.Failed)
			}
		})
	}
}

func TestServersWithoutWebSocket(t *testing.T) {
	for _, mode := range []openai.WebSocket{openai.WebSocketNotFound, openai.WebSocketUpgradeRequired} {
		for _, warm := range []int{0, 2} {
			t.Run(fmt.Sprintf("%d, %d spares", mode, warm), func(t *testing.T) {
				f := start(t, withWebSocket(mode), withWarm(warm))
				began := time.Now()
				r := f.chat(t, "hi [[tokens=2]]")
				if took := time.Since(began); r.Text != "tok0 tok1 " || took > errorTime {
					t.Errorf("text %q after %v (%v)", r.Text, took, r.Failed)
				}
				f.api.Log.Reset()
				if r := f.chat(t, "hi [[tokens=2]]"); r.Text != "tok0 tok1 " {
					t.Errorf("text %q (%v)", r.Text, r.Failed)
				}
				if got := f.api.Log.Turns(); len(got) != 1 || got[0].Method != http.MethodPost {
					t.Errorf("%d model calls", len(got))
				}
				if f.backend.provider() != providerEvents {
					t.Error("the missing WebSocket was not remembered")
				}
			})
		}
	}
}

func TestRefusedConnection(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			if err := f.api.Close(); err != nil {
				t.Fatal(err)
			}
			for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
				began := time.Now()
				r := f.run(t, &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user("hi")}})
				if took := time.Since(began); took > errorTime {
					t.Errorf("%v: it took %v", mode, took)
				}
				if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UPSTREAM_UNREACHABLE || !r.Failed.GetRetryable() {
					t.Errorf("%v: failed = %v", mode, r.Failed)
				}
			}
		})
	}
}

func TestCancelClosesUpstream(t *testing.T) {
	for _, transport := range transports {
		f := start(t, withSettings(transport.settings))
		for _, prompt := range []string{"[[hang]]", "[[hangat=2]]", "[[tokens=20000 gap=20ms]]"} {
			t.Run(transport.name+" "+prompt, func(t *testing.T) {
				f.warmUp(t)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan *backendtest.Result)
				go func() {
					done <- backendtest.Run(ctx, f.client, &backendv1.Start{Messages: []*backendv1.Message{user(prompt)}})
				}()
				turns, err := f.api.Log.WaitTurns(ctx, 1)
				if err != nil {
					t.Fatal(err)
				}
				cancelled := time.Now()
				cancel()
				<-done
				await.Until(t, time.Minute, "the connection is closed", func() bool { return !turns[0].Gone().IsZero() })
				t.Logf("the connection was closed after %v", turns[0].Gone().Sub(cancelled))
				if r := f.chat(t, "next [[tokens=1]]"); r.Text != "tok0 " {
					t.Errorf("next: %q %v", r.Text, r.Failed)
				}
			})
		}
	}
}

func TestInterruptKeepsTheText(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			asked := false
			r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user("[[tokens=500 gap=10ms]]")}, Live: &backendv1.Live{}},
				backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
					if e.GetTextDelta() != nil && !asked {
						asked = true
						if err := s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
							t.Error(err)
						}
					}
				}))
			if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED || !strings.HasPrefix(r.Text, "tok0 ") {
				t.Errorf("text %q, completed %v, failed %v", r.Text, r.Completed, r.Failed)
			}
			if len(r.Completed.GetLiveToken()) > 0 {
				t.Error("a conversation without its last answer was kept")
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user("[[hang]]")}, Timeout: durationpb.New(200 * time.Millisecond)})
	if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_TIMEOUT {
		t.Errorf("failed = %v", r.Failed)
	}
}

// pid of the app-server of chat mode.
func (f *fixture) pid() int {
	f.backend.chat.mu.Lock()
	defer f.backend.chat.mu.Unlock()
	return f.backend.chat.current.client.PID()
}

// pidOrZero is zero while none runs.
func (f *fixture) pidOrZero() int {
	f.backend.chat.mu.Lock()
	defer f.backend.chat.mu.Unlock()
	if f.backend.chat.current == nil {
		return 0
	}
	return f.backend.chat.current.client.PID()
}

// kill ends a process as kill -9 does.
func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestKilledCLI(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			pid := f.pid()
			var killed time.Time
			r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user("[[tokens=500 gap=10ms]]")}},
				backendtest.OnEvent(func(e *backendv1.ExecuteResponse, _ backendv1.BackendService_ExecuteClient) {
					if e.GetTextDelta() != nil && killed.IsZero() {
						killed = time.Now()
						kill(t, pid)
					}
				}))
			t.Logf("failed %v after the kill", time.Since(killed))
			if r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_CLI_FAILURE || time.Since(killed) > errorTime || !strings.Contains(r.Failed.GetMessage(), "killed") {
				t.Errorf("failed = %v after %v", r.Failed, time.Since(killed))
			}
			began := time.Now()
			if r := f.chat(t, "next [[tokens=1]]"); r.Text != "tok0 " {
				t.Errorf("next: %q %v", r.Text, r.Failed)
			}
			t.Logf("the next turn took %v", time.Since(began))
		})
	}
}

func TestKilledBetweenTurns(t *testing.T) {
	f := start(t)
	messages := []*backendv1.Message{user("one [[tokens=1]]")}
	r := f.run(t, &backendv1.Start{Messages: messages, Live: &backendv1.Live{}})
	pid := f.pid()
	kill(t, pid)
	messages = append(messages, assistant(r.Text), user("two [[tokens=1]]"))
	r = f.run(t, &backendv1.Start{Messages: messages, Live: &backendv1.Live{Token: r.Completed.GetLiveToken(), MessagesHeld: 2}})
	if r.Text != "tok0 " {
		t.Errorf("text %q, failed %v", r.Text, r.Failed)
	}
	turns := f.api.Log.Turns()
	if _, got := spoken(turns[len(turns)-1]); len(got) != 3 {
		t.Errorf("the model server got %q", got)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	if r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user("hi")}, Live: &backendv1.Live{}}); r.Failed != nil {
		t.Fatal(r.Failed)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan *backendtest.Result)
	go func() {
		done <- backendtest.Run(ctx, f.client, &backendv1.Start{Messages: []*backendv1.Message{user("[[hang]]")}})
	}()
	if _, err := f.api.Log.WaitTurns(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if len(children(t)) == 0 {
		t.Fatal("no process to end")
	}
	if err := f.backend.Close(ctx); err != nil {
		t.Error(err)
	}
	<-done
	if left := children(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

// children are the processes whose parent is the test.
func children(t *testing.T) []int {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins/backendtest"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

// TestSessionAfterInterrupt: the CLI forgets an answer that was cut short; the client has
// seen it.
func TestSessionAfterInterrupt(t *testing.T) {
	f := start(t, withWarm(0))
	k := newTalk(t, f)
	k.say(t, "first")
	before := k.thread(t)
	deltas := 0
	r := k.say(t, "slow [[tokens=5 hangat=2]]", backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
		if e.GetTextDelta() == nil {
			return
		}
		if deltas++; deltas == 2 {
			if err := s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
				t.Error(err)
			}
		}
	}))
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
		t.Fatalf("completed %v", r.Completed)
	}
	f.restart(t)
	checkUsage(t, k.say(t, "third"), 1)
	checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text slow [[tokens=5 hangat=2]]", "user text <turn_aborted>",
		"assistant text tok0 tok1 ", "user text third")
	if k.thread(t) != before {
		t.Error("the session is another thread")
	}
}

func TestSessionAfterInterruptedCommand(t *testing.T) {
	f := start(t, withWarm(0))
	k := newTalk(t, f)
	r := k.say(t, shell(t, "sleep 300"), backendtest.OnEvent(func(e *backendv1.ExecuteResponse, s backendv1.BackendService_ExecuteClient) {
		if e.GetToolCall() != nil {
			if err := s.Send(&backendv1.ExecuteRequest{Input: &backendv1.ExecuteRequest_Interrupt{Interrupt: &backendv1.Interrupt{}}}); err != nil {
				t.Error(err)
			}
		}
	}))
	if r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_INTERRUPTED {
		t.Fatalf("completed %v", r.Completed)
	}
	before := k.thread(t)
	f.restart(t)
	k.say(t, "second")
	got := slices.DeleteFunc(saw(t, f), func(line string) bool { return strings.HasPrefix(line, "tool tool_result") }) // in the CLI's words
	want := []string{
		"user text " + shell(t, "sleep 300"), "assistant text tok0 ", `assistant tool_use {"cmd":"sleep 300"}`,
		"user text <turn_aborted>", "user text second",
	}
	if diff := cmp.Diff(want, got); diff != "" || k.thread(t) != before {
		t.Errorf("thread %s, before %s; the model server saw (-want +got):\n%s", k.thread(t), before, diff)
	}
}

// TestSessionAfterShortAnswers: an answer that the model server cut short is said once.
func TestSessionAfterShortAnswers(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withWarm(0), withSettings(transport.settings))
			k := newTalk(t, f)
			if r := k.say(t, "[[finish=length]]"); r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_LENGTH {
				t.Fatalf("completed %v", r.Completed)
			}
			before := k.thread(t)
			checkUsage(t, k.say(t, "second"), 1)
			got := slices.DeleteFunc(saw(t, f), func(line string) bool { return line == "user text <turn_aborted>" })
			want := []string{"user text [[finish=length]]", "assistant text tok0 tok1 tok2 ", "user text second"}
			if diff := cmp.Diff(want, got); diff != "" || k.thread(t) != before {
				t.Errorf("thread %s, before %s; the model server saw (-want +got):\n%s", k.thread(t), before, diff)
			}
		})
	}
}

// TestSessionOverAnotherTransport: a thread stays with its transport, whatever new ones get.
func TestSessionOverAnotherTransport(t *testing.T) {
	f := start(t, withWarm(0))
	k, other := newTalk(t, f), newTalk(t, f)
	check := func(k *talk, prompt string, same bool) {
		t.Helper()
		before := k.thread(t)
		checkUsage(t, k.say(t, prompt), 1)
		checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text "+prompt)
		if (k.thread(t) == before) != same {
			t.Errorf("%s: the same thread: %v", prompt, !same)
		}
	}
	for _, k := range []*talk{k, other} {
		k.say(t, "first")
	}
	// The CLI is interrupted where it would wait, and would tell the model that the user
	// did so. This session is made anew.
	check(k.branch(), "waits [[status=429 retry_after=7 fails=1]]", false)
	f.config.Settings = []byte(`{"transport":"sse"}`)
	f.restart(t)
	check(other, "over events", true)
	third := newTalk(t, f)
	third.say(t, "first")
	f.config.Settings = nil
	f.restart(t)
	check(third, "over the socket", true)
}

// TestSessionStaysWithItsAccount: what was said to one model server goes to another one
// only as a conversation that is new to it.
func TestSessionStaysWithItsAccount(t *testing.T) {
	f := start(t, withWarm(0))
	if err := os.MkdirAll(f.home, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"auth.json": `{"OPENAI_API_KEY":"sk-fake-key-0123456789"}`,
		"config.toml": tomlFile([]setting{{"model_provider", "mine"}, {"model_providers.mine", []setting{
			{"name", "mine"}, {"wire_api", "responses"}, {"base_url", f.api.URL},
		}}}),
	} {
		if err := os.WriteFile(filepath.Join(f.home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := f.config.Environment
	login := map[string]string{envHome: f.home}
	k := newTalk(t, f)
	k.say(t, "first")
	for _, step := range []struct {
		env  map[string]string
		same bool
	}{{key, true}, {login, false}, {login, true}, {key, false}} {
		f.config.Environment = step.env
		f.restart(t)
		before := k.thread(t)
		checkUsage(t, k.say(t, "more"), 1)
		if same := k.thread(t) == before; same != step.same {
			t.Errorf("%v: the same thread: %v", step, same)
		}
	}
}

// TestSessionAfterFailures: what is tried again is not said twice, and a turn that failed
// leaves no file of its own.
func TestSessionAfterFailures(t *testing.T) {
	f := start(t, withWarm(0), withSettings(`{"transport":"sse"}`))
	k := newTalk(t, f)
	k.say(t, "first")
	before := k.thread(t)
	checkUsage(t, k.say(t, "second [[status=500 fails=1]]"), 1)
	if n := len(f.api.Log.Turns()); n != 2 {
		t.Errorf("%d model calls", n)
	}
	checkSaw(t, f, "user text first", "assistant text tok0 tok1 tok2 ", "user text second [[status=500 fails=1]]")
	if k.thread(t) != before {
		t.Error("the session is another thread")
	}
	for _, prompt := range []string{"[[status=400]]", "[[tokens=5 cut=2]]"} {
		for _, action := range []backendv1.SessionAction{backendv1.SessionAction_SESSION_ACTION_FORK, backendv1.SessionAction_SESSION_ACTION_CREATE} {
			r := f.run(t, k.branch().start(action, prompt))
			if r.Failed == nil {
				t.Errorf("%s: completed %v", prompt, r.Completed)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	backendtest.Run(ctx, f.client, k.branch().start(backendv1.SessionAction_SESSION_ACTION_FORK, "[[hangat=1]]"),
		backendtest.OnEvent(func(e *backendv1.ExecuteResponse, _ backendv1.BackendService_ExecuteClient) {
			if e.GetTextDelta() != nil {
				cancel()
			}
		}))
	cancel()
	await.Until(t, time.Minute, "the files of failed turns are gone", func() bool {
		names, err := rolloutFiles(f.home, "*")
		return err == nil && len(names) == 1
	})
}

// TestCancelledStart: a turn that is cancelled while its thread is being made leaves none.
func TestCancelledStart(t *testing.T) {
	f := start(t, withWarm(0))
	i, err := f.backend.agent.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.backend.agent.put(i)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	params := object{"cwd": t.TempDir(), "historyMode": "legacy"}
	if th, err := startThread(ctx, i.client, params); !errors.Is(err, context.Canceled) {
		t.Fatalf("thread %v, %v", th, err)
	}
	th, err := startThread(t.Context(), i.client, params) // after which the first one is there, or was
	if err != nil {
		t.Fatal(err)
	}
	leave(i.client, opened{thread: th, kept: true, made: true})
	await.Until(t, time.Minute, "no thread is loaded", func() bool {
		return loaded(t, i.client) == 0
	})
}

// loaded is how many threads an app-server has.
func loaded(t *testing.T, client *appserver.Client) int {
	t.Helper()
	var d struct {
		Gauges []struct {
			Name  string `json:"name"`
			Value int    `json:"value"`
		} `json:"gauges"`
	}
	if err := client.Call(t.Context(), "server/diagnostics", object{}, &d); err != nil {
		t.Fatal(err)
	}
	for _, g := range d.Gauges {
		if g.Name == "core.threads.live" {
			return g.Value
		}
	}
	t.Fatalf("the CLI does not count its threads: %+v", d)
	return 0
}

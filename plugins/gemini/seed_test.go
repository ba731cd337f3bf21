package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/fakeapi/gemini"
)

// TestGoogleLogin talks to the API that the CLI uses after a login with Google.
func TestGoogleLogin(t *testing.T) {
	s := newSystem(t, withEnv("GEMINI_API_KEY", ""), withEnv("GOOGLE_GEMINI_BASE_URL", ""),
		withEnv("GOOGLE_GENAI_USE_GCA", "true"), withEnv("GOOGLE_CLOUD_ACCESS_TOKEN", "canary-token"), withEnv("CODE_ASSIST_ENDPOINT", "the fake's"))
	if h := s.health(t, false); h.GetState() != backendv1.HealthState_HEALTH_STATE_READY {
		t.Errorf("health = %v", h)
	}
	start := chat(user("one"), assistant("two"), user("/help"))
	start.System = "be brief"
	r, req := s.complete(t, start)
	system, messages := gemini.Conversation(req)
	if r.Text != "tok0 tok1 tok2 " || system != "be brief" || len(messages) != 3 || messages[2].Text() != "/help" {
		t.Errorf("text %q, system %q, messages %v", r.Text, system, messages)
	}
	if r.Completed.GetUsage().GetInputTokens() != gemini.InputTokens {
		t.Errorf("usage = %v", r.Completed.GetUsage())
	}
	for script, code := range map[string]backendv1.ErrorCode{
		"[[status=400]]":               backendv1.ErrorCode_ERROR_CODE_INVALID_REQUEST,
		"[[status=429 retry_after=7]]": backendv1.ErrorCode_ERROR_CODE_RATE_LIMITED,
		"[[status=500]]":               backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE,
		"[[status=503]]":               backendv1.ErrorCode_ERROR_CODE_UPSTREAM_FAILURE,
	} {
		r := s.run(t, chat(user(script)))
		if r.Failed.GetCode() != code {
			t.Errorf("%s: %v", script, r.Failed)
		}
		if strings.Contains(script, "retry_after") && r.Failed.GetRetryAfter().AsDuration() != 7*time.Second {
			t.Errorf("%s: retry after %v", script, r.Failed.GetRetryAfter())
		}
	}
}

// TestSessionFile has the conversation go through a session file, as it does with
// a Google login.
func TestSessionFile(t *testing.T) {
	s := newSystem(t, withConfig("conversation", "session"))
	t.Run("history", func(t *testing.T) {
		start := chat(user("one"), user("two"), assistant("three"), user("four [[tokens=20 gap=10ms]]"))
		start.System = "be brief ${AgentSkills}"
		r, req := s.complete(t, start)
		if r.TextDeltas < 15 || !strings.HasPrefix(r.Text, "tok0 ") {
			t.Errorf("%d deltas, text %q", r.TextDeltas, r.Text)
		}
		system, messages := gemini.Conversation(req)
		var got []string
		for _, m := range messages {
			for _, p := range m.Parts {
				got = append(got, m.Role+":"+p.Text)
			}
		}
		want := []string{"user:one", "user:two", "model:three", "user:four [[tokens=20 gap=10ms]]"}
		if diff := cmp.Diff(want, got); diff != "" || system != start.System {
			t.Errorf("system %q, messages (-want +got):\n%s", system, diff)
		}
		if r.Completed.GetUsage().GetCacheReadTokens() != gemini.CacheReadTokens {
			t.Errorf("usage = %v", r.Completed.GetUsage())
		}
	})
	t.Run("nasty texts", func(t *testing.T) {
		for name, text := range nasty {
			r, req := s.complete(t, chat(user(text), assistant("a"), user(text)))
			_, messages := gemini.Conversation(req)
			if len(messages) != 3 || messages[0].Text() != text || messages[2].Text() != text || r.Text != "tok0 tok1 tok2 " {
				t.Errorf("%s: text %q, messages %q", name, r.Text, messages)
			}
		}
	})
	t.Run("instructions that the CLI changes", func(t *testing.T) {
		start := chat(user("hi"))
		start.System = "a\n\n\n\nb"
		r, req := s.complete(t, start)
		noticed := false
		for _, e := range r.Events {
			noticed = noticed || e.GetNotice() != nil
		}
		if system, _ := gemini.Conversation(req); system != "a\n\nb" || !noticed {
			t.Errorf("system %q, noticed %v", system, noticed)
		}
	})
	t.Run("long history", func(t *testing.T) {
		var messages []*backendv1.Message
		for i := range 200 {
			messages = append(messages, user(fmt.Sprintf("q%d %s", i, strings.Repeat("x", 5000))), assistant(fmt.Sprintf("a%d", i)))
		}
		r, req := s.complete(t, chat(append(messages, user("last"))...))
		if _, got := gemini.Conversation(req); len(got) != 401 || r.Text != "tok0 tok1 tok2 " {
			t.Errorf("%d messages, text %q", len(got), head(r.Text))
		}
	})
	t.Run("sampling", func(t *testing.T) {
		temperature := 0.25
		for range 2 {
			start := chat(user("hi"))
			start.Sampling = &backendv1.Sampling{Temperature: &temperature, Stop: []string{"END"}}
			begin := time.Now()
			_, req := s.complete(t, start)
			t.Logf("with generation settings: %v", time.Since(begin))
			if g := gemini.GenerationConfig(req); g["temperature"] != 0.25 {
				t.Errorf("generation settings = %v", g)
			}
		}
		_, req := s.complete(t, chat(user("hi")))
		if g := gemini.GenerationConfig(req); g["temperature"] != 1.0 {
			t.Errorf("generation settings of another turn = %v", g)
		}
	})
	t.Run("tools", func(t *testing.T) {
		start := chat(user("hi"))
		start.Tools = []*backendv1.ToolSpec{{Name: "a"}}
		if r := s.run(t, start); r.Failed.GetCode() != backendv1.ErrorCode_ERROR_CODE_UNSUPPORTED {
			t.Errorf("failed = %v", r.Failed)
		}
	})
}

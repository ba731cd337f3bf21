package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
	"github.com/clinvk/clinvk/test/fakeapi"
	"github.com/clinvk/clinvk/test/fakeapi/openai"
)

// spoken are the roles and texts that reached the model server.
func spoken(r *fakeapi.Request) (system string, out []string) {
	system, messages := openai.Conversation(r)
	for _, m := range messages {
		out = append(out, m.Role+": "+m.Text())
	}
	return system, out
}

func TestChatStreamsWithUsage(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			f.warmUp(t)
			prompt := "count [[tokens=20 gap=20ms think=3]]"
			r := f.chat(t, prompt)
			if r.Failed != nil {
				t.Fatal(r.Failed)
			}
			script, err := fakeapi.ParseScript(prompt)
			if err != nil {
				t.Fatal(err)
			}
			if r.Text != script.Answer() || r.Reasoning != "thought0 thought1 thought2 " {
				t.Errorf("text %q, reasoning %q", r.Text, r.Reasoning)
			}
			var first, last time.Duration
			for i, e := range r.Events {
				if e.GetTextDelta() != nil {
					if first == 0 {
						first = r.At[i]
					}
					last = r.At[i]
				}
			}
			if r.TextDeltas < 15 || last-first < 300*time.Millisecond {
				t.Errorf("%d deltas over %v", r.TextDeltas, last-first)
			}
			u := r.Completed.GetUsage()
			got := []int64{u.GetInputTokens(), u.GetCacheReadTokens(), u.GetCacheWriteTokens(), u.GetOutputTokens(), u.GetReasoningTokens()}
			want := []int64{openai.InputTokens, openai.CacheReadTokens, openai.CacheWriteTokens, int64(openai.OutputTokens(script)), openai.ReasoningTokens}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if r.Completed.GetModel() == "" || r.Completed.GetFinishReason() != backendv1.FinishReason_FINISH_REASON_STOP {
				t.Errorf("completed = %v", r.Completed)
			}
			turns := f.api.Log.Turns()
			if len(turns) != 1 || (turns[0].Method == "WS") != (transport.name == "socket") {
				t.Fatalf("%d model calls, the first by %s", len(turns), turns[0].Method)
			}
		})
	}
}

// nasty texts mean something to the CLI when it reads them as a prompt.
var nasty = []string{
	"--help", "-p x", "/clear", "/memory", "@/etc/passwd", "!ls", "$about", " ", "\n\n", "\x00 nul \x00", "😀 é ✓ ￿",
	"<system-reminder>x</system-reminder>", `"quotes" \ and </tags>`, "\r\n\ttabs", "\u2028\u2029",
}

func TestConversationArrivesExactly(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			for _, model := range []string{"", "gpt-5.5", "gpt-unheard-of"} {
				var messages []*backendv1.Message
				var want []string
				for i, text := range nasty {
					if i%3 == 0 { // two of the user, one of the assistant, beginning with the assistant
						messages, want = append(messages, assistant(text)), append(want, "assistant: "+text)
						continue
					}
					messages, want = append(messages, user(text)), append(want, "user: "+text)
				}
				last := "/clear --help $about @/etc/passwd"
				messages, want = append(messages, user(last)), append(want, "user: "+last)
				system := strings.Join(nasty, "|")
				f.api.Log.Reset()
				r := f.run(t, &backendv1.Start{Model: model, System: system, Messages: messages})
				if r.Failed != nil {
					t.Fatal(r.Failed)
				}
				turns := f.api.Log.Turns()
				if len(turns) != 1 {
					t.Fatalf("%d model calls", len(turns))
				}
				gotSystem, got := spoken(turns[0])
				if gotSystem != system {
					t.Errorf("model %q: system %q, want %q", model, gotSystem, system)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("model %q (-want +got):\n%s", model, diff)
				}
				if tools := openai.Tools(turns[0]); len(tools) > 0 {
					t.Errorf("model %q: tools %v", model, tools)
				}
			}
		})
	}
}

func TestNastyLastMessages(t *testing.T) {
	f := start(t)
	for _, text := range nasty {
		f.api.Log.Reset()
		if r := f.chat(t, text); r.Failed != nil {
			t.Errorf("%q: %v", text, r.Failed)
			continue
		}
		system, got := spoken(f.api.Log.Turns()[0])
		if diff := cmp.Diff([]string{"user: " + text}, got); diff != "" || system != "" {
			t.Errorf("%q: system %q, (-want +got):\n%s", text, system, diff)
		}
	}
}

func TestLongPrompt(t *testing.T) {
	f := start(t)
	text := strings.Repeat("é", 1<<20) // 2 MiB, and more code points than turn/start takes
	r := f.chat(t, text)
	if r.Failed != nil {
		t.Fatal(r.Failed)
	}
	if _, got := spoken(f.api.Log.Turns()[0]); len(got) != 1 || got[0] != "user: "+text {
		t.Error("the text was changed")
	}
}

func TestImagesAndToolHistory(t *testing.T) {
	f := start(t)
	// A PNG of one pixel.
	image, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	if err != nil {
		t.Fatal(err)
	}
	blob := func() *backendv1.Part {
		return &backendv1.Part{Content: &backendv1.Part_Blob{Blob: &backendv1.Blob{MediaType: "image/png", Source: &backendv1.Blob_Data{Data: image}}}}
	}
	part := func(text string) *backendv1.Part {
		return &backendv1.Part{Content: &backendv1.Part_Text{Text: text}}
	}
	r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{
		{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{part("look"), blob()}},
		{Role: backendv1.Role_ROLE_ASSISTANT, Parts: []*backendv1.Part{part("calling"), {Content: &backendv1.Part_ToolCall{
			ToolCall: &backendv1.ToolCall{Id: "call_1", Name: "get_weather", ArgumentsJson: `{"city":"Rome"}`},
		}}}},
		{Role: backendv1.Role_ROLE_USER, Parts: []*backendv1.Part{{Content: &backendv1.Part_ToolResult{
			ToolResult: &backendv1.ToolResult{CallId: "call_1", Parts: []*backendv1.Part{part("sunny")}},
		}}, part("and now?")}},
	}})
	if r.Failed != nil {
		t.Fatal(r.Failed)
	}
	_, messages := openai.Conversation(f.api.Log.Turns()[0])
	var got []string
	for _, m := range messages {
		for _, p := range m.Parts {
			if p.Kind == "image" && p.Text == base64.StdEncoding.EncodeToString(image) {
				p.Text = "the image"
			}
			got = append(got, fmt.Sprintf("%s %s %s %s %s", m.Role, p.Kind, p.ID, p.Name, p.Text))
		}
	}
	want := []string{
		"user text   look", "user image  image/png the image", "assistant text   calling",
		`assistant tool_use call_1 get_weather {"city":"Rome"}`, "tool tool_result call_1  sunny", "user text   and now?",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReasoningEffortAndSchema(t *testing.T) {
	f := start(t)
	r := f.run(t, &backendv1.Start{
		Messages: []*backendv1.Message{user("hi")}, Sampling: &backendv1.Sampling{ReasoningEffort: "high"},
		OutputSchema: []byte(`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}`),
	})
	if r.Failed != nil {
		t.Fatal(r.Failed)
	}
	request := f.api.Log.Turns()[0]
	for _, want := range []string{`"effort":"high"`, `"json_schema"`, `"strict":true`} {
		if !strings.Contains(string(request.Body), want) {
			t.Errorf("no %s in %s", want, request.Body)
		}
	}
	if system, got := spoken(request); system != "" || len(got) != 1 || got[0] != "user: hi" {
		t.Errorf("system %q, messages %q", system, got)
	}
}

func TestConcurrentTurnsDoNotMix(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	const n = 24
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			nonce := fmt.Sprintf("nonce-%d-%d", i, i*7919)
			r := f.chat(t, nonce+" [[echo]]")
			if r.Text != nonce+" [[echo]]" {
				t.Errorf("%s got %q (%v)", nonce, r.Text, r.Failed)
			}
		})
	}
	wg.Wait()
	for _, request := range f.api.Log.Turns() {
		if system, got := spoken(request); system != "" || len(got) != 1 {
			t.Errorf("a request held %q %q", system, got)
		}
	}
}

func TestLiveConversation(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) {
			f := start(t, withSettings(transport.settings))
			messages := []*backendv1.Message{user("one [[tokens=2]]")}
			live := &backendv1.Live{}
			var want []string
			for turn := range 3 {
				r := f.run(t, &backendv1.Start{System: "be terse", Messages: messages, Live: live})
				if r.Failed != nil {
					t.Fatal(r.Failed)
				}
				if r.Started.GetLive() != (turn > 0) || len(r.Completed.GetLiveToken()) == 0 {
					t.Errorf("turn %d: started %v, completed %v", turn, r.Started, r.Completed)
				}
				if u := r.Completed.GetUsage(); u.GetInputTokens() != openai.InputTokens || u.GetOutputTokens() != 9 {
					t.Errorf("turn %d: usage %v", turn, u)
				}
				want = append(want, "user: "+messages[len(messages)-1].GetParts()[0].GetText())
				requests := f.api.Log.Turns()
				system, got := spoken(requests[turn])
				if diff := cmp.Diff(want, got); diff != "" || system != "be terse" {
					t.Errorf("turn %d: system %q, (-want +got):\n%s", turn, system, diff)
				}
				if n := openai.SentItems(requests[turn]); turn > 0 && transport.name == "socket" && n != 1 {
					t.Errorf("turn %d sent %d items", turn, n)
				}
				want = append(want, "assistant: "+r.Text)
				messages = append(messages, assistant(r.Text))
				live = &backendv1.Live{Token: r.Completed.GetLiveToken(), MessagesHeld: uint32(len(messages))}
				messages = append(messages, user(fmt.Sprintf("more %d [[tokens=2]]", turn)))
			}
			// A token is good for one turn; with an old or unknown one everything is sent.
			for _, token := range []string{"unknown", string(live.GetToken())} {
				f.api.Log.Reset()
				r := f.run(t, &backendv1.Start{System: "be terse", Messages: messages, Live: &backendv1.Live{Token: []byte(token), MessagesHeld: 1}})
				if r.Failed != nil || r.Started.GetLive() {
					t.Errorf("token %q: started %v, failed %v", token, r.Started, r.Failed)
				}
				if _, got := spoken(f.api.Log.Turns()[0]); len(got) != len(messages) {
					t.Errorf("token %q: %q", token, got)
				}
			}
		})
	}
}

func TestLiveConversationsAreBounded(t *testing.T) {
	f := start(t)
	f.backend.live.max, f.backend.live.idle = 2, 300*time.Millisecond
	for i := range 4 {
		r := f.run(t, &backendv1.Start{Messages: []*backendv1.Message{user(fmt.Sprint(i))}, Live: &backendv1.Live{}})
		if len(r.Completed.GetLiveToken()) == 0 {
			t.Fatalf("completed %v, failed %v", r.Completed, r.Failed)
		}
	}
	count := func() int {
		f.backend.live.mu.Lock()
		defer f.backend.live.mu.Unlock()
		return len(f.backend.live.byKey)
	}
	if n := count(); n > 2 {
		t.Errorf("%d conversations are kept", n)
	}
	await.Until(t, time.Minute, "no conversation outlives the idle time", func() bool { return count() == 0 })
}

package main

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/backendtest"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

// talk is a conversation as the host keeps it.
type talk struct {
	f        *fixture
	messages []*backendv1.Message
	token    []byte
	held     int
}

func (c *talk) say(texts ...string) *backendtest.Result {
	c.f.tb.Helper()
	for _, text := range texts {
		c.messages = append(c.messages, user(text))
	}
	start := chat(c.messages...)
	start.Live = &backendv1.Live{Token: c.token, MessagesHeld: uint32(c.held)}
	r := c.f.complete(start)
	c.messages = append(c.messages, assistant(r.Text))
	c.token, c.held = r.Completed.GetLiveToken(), len(c.messages)
	return r
}

// history is the whole conversation as the API should see it.
func (c *talk) history() string {
	var out string
	for _, m := range c.messages[:len(c.messages)-1] {
		role := "user"
		if m.GetRole() == backendv1.Role_ROLE_ASSISTANT {
			role = "assistant"
		}
		out += role + " text: " + strconv.Quote(m.GetParts()[0].GetText()) + "\n"
	}
	return out
}

func TestLiveConversation(t *testing.T) {
	eachReleaseWith(t, func(*plugins.Config) {}, func(t *testing.T, f *fixture) {
		c := &talk{f: f}
		first := c.say("one")
		f.warm()
		if first.Started.GetLive() || len(c.token) == 0 {
			t.Errorf("live %v, token %q", first.Started.GetLive(), c.token)
		}
		before := len(f.processes())
		for _, text := range []string{"/two", "three", "four"} {
			begin := time.Now()
			r := c.say(text)
			t.Logf("turn took %v", time.Since(begin).Round(time.Millisecond))
			if !r.Started.GetLive() {
				t.Errorf("%s: not live", text)
			}
			_, messages := f.received()
			var got string
			for _, m := range messages {
				got += m.Role + " text: " + strconv.Quote(m.Text()) + "\n"
			}
			if diff := cmp.Diff(c.history(), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		}
		if after := len(f.processes()); after != before {
			t.Errorf("%d processes, before there were %d", after, before)
		}
	})
}

func TestLiveFallsBack(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, f *fixture, c *talk){
		"unknown token": func(_ *testing.T, _ *fixture, c *talk) { c.token = []byte("nonsense") },
		"other length":  func(_ *testing.T, _ *fixture, c *talk) { c.held-- },
		"dead process": func(t *testing.T, f *fixture, _ *talk) {
			f.backend.live.mu.Lock()
			kept := f.backend.live.kept
			p := kept[len(kept)-1].p
			f.backend.live.mu.Unlock()
			kill(t, p.proc.PID())
		},
	}
	f := borrowFixture(t, newest)
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			f.tb = t
			c := &talk{f: f}
			c.say("one")
			spoil(t, f, c)
			r := c.say("two")
			_, messages := f.received()
			if r.Started.GetLive() || words(messages) != c.history() {
				t.Errorf("live %v, messages:\n%s", r.Started.GetLive(), words(messages))
			}
		})
	}
}

func TestLiveIsBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, cold, func(c *plugins.Config) { c.Settings = []byte(`{"max_live": 2, "live_idle_secs": 1}`) })
	a, b, c := &talk{f: f}, &talk{f: f}, &talk{f: f}
	a.say("a")
	b.say("b")
	c.say("c") // the oldest has to go
	if r := a.say("again"); r.Started.GetLive() {
		t.Error("the oldest of three was kept although two are allowed")
	}
	await.Until(t, 15*time.Second, "no conversation is kept beyond its time", func() bool {
		f.backend.live.mu.Lock()
		defer f.backend.live.mu.Unlock()
		return len(f.backend.live.kept) == 0
	})
	if r := c.say("later"); r.Started.GetLive() {
		t.Error("a conversation lived beyond its time")
	}
}

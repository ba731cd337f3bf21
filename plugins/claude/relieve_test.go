package main

import (
	"testing"

	"github.com/clinvk/clinvk/plugins"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestRelieve shows which processes are given up, and that turns go on.
func TestRelieve(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest)
	relieve := func(relief plugins.Relief) {
		t.Helper()
		if _, err := f.client.Relieve(t.Context(), &backendv1.RelieveRequest{Level: backendv1.ReliefLevel(relief)}); err != nil {
			t.Fatal(err)
		}
	}
	c := &talk{f: f}
	c.say("one")
	f.warm()
	f.waitProcesses(defaultWarm + 1)

	relieve(plugins.ReliefSpares)
	f.waitProcesses(1) // the conversation
	if r := c.say("two"); !r.Started.GetLive() {
		t.Error("the conversation was not kept")
	}
	f.complete(chat(user("another")))
	f.waitProcesses(1)

	relieve(plugins.ReliefIdle)
	f.waitProcesses(0)
	if r := c.say("three"); r.Started.GetLive() || len(c.token) != 0 {
		t.Errorf("live %v, token %q", r.Started.GetLive(), c.token)
	}
	f.waitProcesses(0)

	relieve(plugins.ReliefNone)
	f.warm()
	c.say("four")
	if len(c.token) == 0 {
		t.Error("conversations are not kept again")
	}
}

package main

import (
	"testing"
	"time"

	"github.com/clinvk/clinvk/plugins"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
	"github.com/clinvk/clinvk/test/await"
)

// running says whether a keeper has an app-server, and how many spare threads.
func running(k *keeper) (yes bool, spares int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.all {
		i.threads.mu.Lock()
		for _, p := range i.threads.pools {
			spares += p.Idle()
		}
		i.threads.mu.Unlock()
	}
	return len(k.all) > 0, spares
}

// TestRelieve shows what is given up, and that turns go on.
func TestRelieve(t *testing.T) {
	f := start(t)
	f.warmUp(t)
	b := f.backend
	relieve := func(relief plugins.Relief) {
		t.Helper()
		if _, err := f.client.Relieve(t.Context(), &backendv1.RelieveRequest{Level: backendv1.ReliefLevel(relief)}); err != nil {
			t.Fatal(err)
		}
	}
	await := func(what string, ok func(chat, agent bool, spares int) bool) {
		t.Helper()
		await.Until(t, time.Minute, what, func() bool {
			chat, spares := running(b.chat)
			agent, _ := running(b.agent)
			return ok(chat, agent, spares)
		})
	}
	all := func(chat, agent bool, spares int) bool { return chat && agent && spares == defaultWarm }
	talk := func(live *backendv1.Live) []byte {
		t.Helper()
		r := f.run(t, &backendv1.Start{Mode: backendv1.Mode_MODE_CHAT, Messages: []*backendv1.Message{user("hi")}, Live: live})
		if r.Completed == nil {
			t.Fatalf("the turn failed: %v", r.Failed)
		}
		return r.Completed.GetLiveToken()
	}
	if len(talk(&backendv1.Live{})) == 0 {
		t.Fatal("the conversation is not kept")
	}
	await("all that is kept ahead", all)

	relieve(plugins.ReliefSpares)
	await("only the conversation's app-server", func(chat, agent bool, spares int) bool { return chat && !agent && spares == 0 })

	relieve(plugins.ReliefIdle)
	await("nothing", func(chat, agent bool, _ int) bool { return !chat && !agent })
	if token := talk(&backendv1.Live{}); len(token) != 0 {
		t.Error("the conversation is kept")
	}
	await("nothing after a turn", func(chat, agent bool, _ int) bool { return !chat && !agent })

	relieve(plugins.ReliefNone)
	f.warmUp(t)
	await("all that is kept ahead again", all)
}

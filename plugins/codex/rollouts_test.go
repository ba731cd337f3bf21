package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

func TestSessionsAreListedAndDeleted(t *testing.T) {
	f := start(t, withWarm(0))
	k, other := newTalk(t, f), newTalk(t, f)
	k.say(t, "the title\nand more")
	other.say(t, "another")
	f.restart(t)
	list := func(dir string) (titles []string) {
		t.Helper()
		r, err := f.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{WorkingDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range r.GetSessions() {
			if s.GetUpdateTime().GetSeconds() == 0 || s.GetWorkingDir() == "" {
				t.Errorf("listed %v", s)
			}
			titles = append(titles, s.GetTitle())
		}
		slices.Sort(titles)
		return titles
	}
	if diff := cmp.Diff([]string{"another", "the title"}, list("")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"the title"}, list(k.dir)); diff != "" {
		t.Error(diff)
	}
	// What is listed can be continued.
	r, err := f.client.ListSessions(t.Context(), &backendv1.ListSessionsRequest{WorkingDir: k.dir})
	if err != nil {
		t.Fatal(err)
	}
	k.token = r.GetSessions()[0].GetToken()
	checkUsage(t, k.say(t, "second"), 1)
	checkSaw(t, f, "user text the title\nand more", "assistant text tok0 tok1 tok2 ", "user text second")
	// Not with more access than it is given now.
	listed := k.branch()
	listed.token = r.GetSessions()[0].GetToken()
	before := k.thread(t)
	s := listed.start(backendv1.SessionAction_SESSION_ACTION_RESUME, "third")
	s.SandboxMode = 0
	if listed.run(t, s); listed.thread(t) == before {
		t.Error("a listed session goes on with the access that it had")
	}
	k.token = listed.token
	for _, token := range [][]byte{k.token, k.token, []byte("garbage"), nil, []byte(`{"thread":"../../../*"}`)} {
		if _, err := f.client.DeleteSession(t.Context(), &backendv1.DeleteSessionRequest{Token: token}); err != nil {
			t.Errorf("%q: %v", token, err)
		}
	}
	if diff := cmp.Diff([]string{"another"}, list("")); diff != "" {
		t.Error(diff)
	}
}

func FuzzReadRollout(f *testing.F) {
	head, err := json.Marshal(object{"type": "session_meta", "payload": object{
		"id": "01a206bc-3a78-7770-bd57-6f75862f7038", "originator": "clinvk", "cwd": "/",
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(head) + "\n" + `{"type":"response_item","payload":{"type":"message","role":"user","content":[{"text":"hi"}]}}` + "\n")
	f.Add("garbage\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := readRollout(strings.NewReader(text))
		if _, good := parseToken(s.Token); ok && !good {
			t.Errorf("listed %+v", s)
		}
	})
}

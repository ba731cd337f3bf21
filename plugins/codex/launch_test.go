package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/status"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestPreviewIsWhatRuns compares a preview with the process that then answers.
func TestPreviewIsWhatRuns(t *testing.T) {
	f := start(t, withWarm(0))
	dir := t.TempDir()
	for _, mode := range []backendv1.Mode{backendv1.Mode_MODE_CHAT, backendv1.Mode_MODE_AGENT} {
		turn := &backendv1.Start{Mode: mode, Messages: []*backendv1.Message{user("hello secret prompt")}, System: "secret"}
		want := ""
		if mode == backendv1.Mode_MODE_AGENT {
			turn.WorkingDir, want = dir, dir
		}
		p, err := f.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: turn})
		if err != nil {
			t.Fatal(err)
		}
		k := map[backendv1.Mode]*keeper{backendv1.Mode_MODE_CHAT: f.backend.chat, backendv1.Mode_MODE_AGENT: f.backend.agent}[mode]
		if yes, _ := running(k); yes {
			t.Errorf("%v: the preview started a process", mode)
		}
		if r := f.run(t, turn); r.Failed != nil {
			t.Fatal(r.Failed)
		}
		if diff := cmp.Diff(processFile(t, k, "cmdline"), p.GetCommandLine()); diff != "" {
			t.Errorf("%v: the command (-runs +preview):\n%s", mode, diff)
		}
		var names []string
		for _, v := range processFile(t, k, "environ") {
			if name, _, _ := strings.Cut(v, "="); name != "CLINVK_PROCESS" { // tells processes apart
				names = append(names, name)
			}
		}
		slices.Sort(names)
		previewed := slices.Sorted(slices.Values(p.GetEnvironment()))
		if diff := cmp.Diff(names, previewed); diff != "" || p.GetWorkingDir() != want {
			t.Errorf("%v: directory %q, environment (-runs +preview):\n%s", mode, p.GetWorkingDir(), diff)
		}
		if text := p.String(); strings.Contains(text, "sk-fake") || strings.Contains(text, "secret") {
			t.Errorf("%v: the preview tells too much: %s", mode, text)
		}
	}
}

// processFile is a list in /proc about a keeper's app-server.
func processFile(t *testing.T, k *keeper, name string) []string {
	t.Helper()
	k.mu.Lock()
	pid := k.current.client.PID()
	k.mu.Unlock()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

func TestPreviewHidesThePassword(t *testing.T) {
	f := start(t, withWarm(0), withEnvironment(map[string]string{envBaseURL: "http://me:hunter2@127.0.0.1:1/v1"}))
	p, err := f.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: &backendv1.Start{
		Mode: backendv1.Mode_MODE_AGENT, Messages: []*backendv1.Message{user("hi")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if text := p.String(); strings.Contains(text, "hunter2") || !strings.Contains(text, "127.0.0.1:1") {
		t.Error(text)
	}
}

func TestPreviewRefusesWhatExecuteRefuses(t *testing.T) {
	f := start(t, withWarm(0))
	hi := []*backendv1.Message{user("hi")}
	for want, turn := range map[string]*backendv1.Start{
		"no extra arguments":        {Messages: hi, ExtraArguments: []string{"--yolo"}},
		"no message":                {},
		"not an existing directory": {Mode: backendv1.Mode_MODE_AGENT, Messages: hi, WorkingDir: "/does/not/exist"},
	} {
		_, err := f.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: turn})
		if text := status.Convert(err).Message(); !strings.Contains(text, want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

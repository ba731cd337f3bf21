package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestPreviewIsWhatRuns compares it with the process that then runs the same turn.
func TestPreviewIsWhatRuns(t *testing.T) {
	eachRelease(t, func(t *testing.T, f *fixture) {
		f.complete(chat(user("hello"))) // the release is known now
		j := newJob(t, f)
		j.keepLive = true
		j.say("one")
		name, _ := parseSession(j.token)
		f.backend.settle(t.Context(), name.id)

		start := j.start("SECRET PROMPT")
		start.System = "SECRET SYSTEM"
		start.Model = "sonnet"
		start.ExtraArguments = []string{"--max-budget-usd", "3"}
		preview, err := f.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: start})
		if err != nil {
			t.Fatal(err)
		}
		j.run(start)
		writer, _ := f.backend.writers.of(name.id)
		process := "/proc/" + strconv.Itoa(writer.proc.PID())
		arguments, err := os.ReadFile(process + "/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		got := preview.GetCommandLine()
		if want := strings.Split(strings.TrimSuffix(string(arguments), "\x00"), "\x00"); !slices.Equal(got, want) {
			t.Errorf("preview %q, runs %q", got, want)
		}
		environment, err := os.ReadFile(process + "/environ")
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for v := range bytes.SplitSeq(bytes.TrimSuffix(environment, []byte{0}), []byte{0}) {
			name, _, _ := bytes.Cut(v, []byte{'='})
			if string(name) != "CLINVK_PROCESS" { // the mark by which subprocess finds what the CLI leaves behind
				names = append(names, string(name))
			}
		}
		slices.Sort(names)
		if !slices.Equal(preview.GetEnvironment(), names) {
			t.Errorf("environment %q, runs with %q", preview.GetEnvironment(), names)
		}
		if cwd, _ := os.Readlink(process + "/cwd"); preview.GetWorkingDir() != cwd {
			t.Errorf("working directory %q, runs in %q", preview.GetWorkingDir(), cwd)
		}
		if text := preview.String(); strings.Contains(text, "SECRET") || strings.Contains(text, f.config.Environment[envAPIKey]) {
			t.Errorf("a secret is in %s", text)
		}
	})
}

func TestPreview(t *testing.T) {
	t.Parallel()
	f := newFixture(t, newest, cold)
	create := &backendv1.Session{Action: backendv1.SessionAction_SESSION_ACTION_CREATE}
	agent := backendv1.Mode_MODE_AGENT
	tests := []struct {
		name  string
		start *backendv1.Start
		want  []string
		dir   string
		fails bool
	}{
		{"chat", chat(user("hello")), []string{"--tools=", "--no-session-persistence", "--bare"}, "", false},
		{"agent", &backendv1.Start{Mode: agent, Messages: []*backendv1.Message{user("hello")}, WorkingDir: "/"}, []string{"--no-session-persistence"}, "/", false},
		{"session", &backendv1.Start{Mode: agent, Messages: []*backendv1.Message{user("hello")}, Session: create}, []string{"--session-id="}, "", false},
		{
			"session with a history", &backendv1.Start{Mode: agent, Messages: []*backendv1.Message{user("one"), assistant("two"), user("three")}, Session: create},
			[]string{"--session-id=", "--resume=", "--fork-session"}, "", false,
		},
		{"flags in a chat", &backendv1.Start{Messages: []*backendv1.Message{user("hello")}, ExtraArguments: []string{"--agent=x"}}, nil, "", true},
		{"nothing to answer", &backendv1.Start{}, nil, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := f.client.Preview(t.Context(), &backendv1.PreviewRequest{Start: test.start})
			if test.fails {
				if err == nil {
					t.Errorf("preview = %v", r)
				}
				return
			}
			if err != nil || r.GetWorkingDir() != test.dir || r.GetCommandLine()[0] != f.config.Command || !slices.Contains(r.GetEnvironment(), envAPIKey) {
				t.Errorf("preview = %v, %v", r, err)
			}
			for _, flag := range test.want {
				if !slices.ContainsFunc(r.GetCommandLine(), func(a string) bool { return strings.HasPrefix(a, flag) }) {
					t.Errorf("%s is missing in %q", flag, r.GetCommandLine())
				}
			}
		})
	}
	if n := len(f.processes()); n != 0 {
		t.Errorf("%d processes were started", n)
	}
	if entries, err := os.ReadDir(filepath.Join(f.root, "s", "claude")); err != nil || len(entries) > 0 {
		t.Errorf("directories were made: %v, %v", entries, err)
	}
}

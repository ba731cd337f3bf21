package engine

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TestResolve: what an alias pins counts before what the turn says, but not in a session
// that has the alias already.
func TestResolve(t *testing.T) {
	f := newFakes(t)
	f.add("claude", nil, nil, "opus")
	e := New(Config{Backends: f, Aliases: map[string]Alias{"fixer": {Backend: "claude", Mode: ModeAgent, WorkingDir: "/pinned"}}})
	for _, test := range []struct {
		name string
		turn Turn
		want Resolved
	}{
		{"no alias", Turn{Model: "claude", WorkingDir: "/own"}, Resolved{"claude", "claude", ModeChat, ""}},
		{"an agent", Turn{Model: "claude", Mode: ModeAgent, WorkingDir: "/own"}, Resolved{"claude", "claude", ModeAgent, "/own"}},
		{"alias", Turn{Model: "fixer", Mode: ModeChat, WorkingDir: "/own"}, Resolved{"claude", "fixer", ModeAgent, "/pinned"}},
		{"new session", Turn{Model: "fixer", Session: &Session{}}, Resolved{"claude", "fixer", ModeAgent, "/pinned"}},
		{"settled", Turn{Model: "fixer", Mode: ModeAgent, WorkingDir: "/own", Session: &Session{Settled: true}}, Resolved{"claude", "fixer", ModeAgent, "/own"}},
		{"settled to chat", Turn{Model: "fixer", Mode: ModeChat, Session: &Session{Settled: true}}, Resolved{"claude", "fixer", ModeChat, ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := e.Resolve(&test.turn)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := e.Resolve(&Turn{Model: "nowhere"}); AsError(err).Code != CodeModelNotFound {
		t.Errorf("what is not there: %v", err)
	}
}

// TestWorkingDirOfSession: the server's own directory is used where clients may name
// none, by agents only, and only when they are told no other.
func TestWorkingDirOfSession(t *testing.T) {
	f := newFakes(t)
	f.add("b", &backendv1.Capabilities{Agent: &backendv1.AgentCapability{}, Chat: &backendv1.ChatCapability{}}, nil, "m")
	allowed, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := t.TempDir()
	e := New(Config{Backends: f, WorkingDirs: WorkingDirs{Allowed: []string{allowed}}})
	for _, test := range []struct {
		name string
		turn Turn
		want string
	}{
		{"an agent", Turn{Mode: ModeAgent}, own},
		{"an agent that is told", Turn{Mode: ModeAgent, WorkingDir: allowed}, allowed},
		{"chat", Turn{Mode: ModeChat}, ""},
	} {
		test.turn.Model, test.turn.Session = "b", &Session{WorkingDir: own}
		if p, err := e.plan(&test.turn); err != nil || p.turn.WorkingDir != test.want {
			t.Errorf("%s works in %+v, %v", test.name, p.turn, err)
		}
	}
	if _, err := e.plan(&Turn{Model: "b", Mode: ModeAgent, WorkingDir: own}); AsError(err).Param != "workdir" {
		t.Errorf("a client may name it: %v", err)
	}
}

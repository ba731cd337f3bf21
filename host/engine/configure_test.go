package engine

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// TestGateTakesNewLimits: those that wait are let in when there may be more, and nobody
// is thrown out when there may be fewer.
func TestGateTakesNewLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{MaxConcurrent: 1}
		g := &gate{backend: "b", pressure: never, limits: func() Limits { return limits }}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave := make(chan func(), 4)
		for range 4 {
			go func() {
				if l, err := g.enter(ctx, 3); err == nil {
					leave <- l
				}
			}()
			synctest.Wait()
		}
		want := func(running, queued int) {
			t.Helper()
			synctest.Wait()
			if r, q := g.load(); r != running || q != queued {
				t.Fatalf("%d run and %d wait, want %d and %d", r, q, running, queued)
			}
		}
		want(1, 3)
		limits.MaxConcurrent = 10 // the plugin takes three
		g.retune()
		want(3, 1)
		limits.MaxConcurrent = 1
		g.retune()
		want(3, 1)
		(<-leave)()
		(<-leave)()
		want(1, 1)
		(<-leave)()
		want(1, 0)
		(<-leave)()
		want(0, 0)
	})
}

func TestAgentDefaults(t *testing.T) {
	d := AgentDefaults{Approval: ApprovalAuto, Sandbox: SandboxReadOnly, System: "be kind", ExtraArguments: []string{"--a"}}
	for _, tt := range []struct {
		name       string
		turn, want Turn
	}{
		{"says nothing", Turn{}, Turn{Approval: ApprovalAuto, Sandbox: SandboxReadOnly, System: "be kind", ExtraArguments: []string{"--a"}}},
		{
			"says all",
			Turn{Approval: ApprovalDefault, Sandbox: SandboxFull, System: "x", ExtraArguments: []string{"--b"}},
			Turn{Approval: ApprovalDefault, Sandbox: SandboxFull, System: "x", ExtraArguments: []string{"--a", "--b"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d.fill(&tt.turn)
			if diff := cmp.Diff(tt.want, tt.turn); diff != "" {
				t.Error(diff)
			}
		})
	}
	if len(d.ExtraArguments) != 1 {
		t.Error("the defaults were changed")
	}
}

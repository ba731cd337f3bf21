package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

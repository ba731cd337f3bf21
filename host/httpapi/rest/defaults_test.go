package rest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clinvk/clinvk/host/engine"
)

func TestDefaults(t *testing.T) {
	d := Defaults{MaxTurns: 5, MaxTokens: 100, Timeout: time.Minute}
	for _, tt := range []struct {
		name       string
		defaults   Defaults
		turn, want engine.Turn
	}{
		{"none", Defaults{}, engine.Turn{}, engine.Turn{}},
		{
			"says nothing", d, engine.Turn{},
			engine.Turn{MaxSteps: 5, Timeout: time.Minute, Sampling: engine.Sampling{MaxOutputTokens: new(int64(100))}},
		},
		{
			"says all", d,
			engine.Turn{MaxSteps: 1, Timeout: time.Second, Sampling: engine.Sampling{MaxOutputTokens: new(int64(7))}},
			engine.Turn{MaxSteps: 1, Timeout: time.Second, Sampling: engine.Sampling{MaxOutputTokens: new(int64(7))}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.defaults.fill(&tt.turn)
			if diff := cmp.Diff(tt.want, tt.turn); diff != "" {
				t.Error(diff)
			}
		})
	}
}

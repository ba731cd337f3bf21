package host

import (
	"testing"

	"github.com/clinvk/clinvk/host/config"
)

func TestWalls(t *testing.T) {
	const machine = 8 << 30
	for _, tt := range []struct {
		name      string
		limits    config.Limits
		machine   int64
		memory    int64
		processes int
	}{
		{"defaults", config.Limits{}, machine, machine / 2, 512},
		{"a machine that does not tell", config.Limits{}, 0, 0, 512},
		{"set", config.Limits{MaxMemoryMB: 100, MaxProcesses: 7}, machine, 100 << 20, 7},
		{"none", config.Limits{MaxMemoryMB: -1, MaxProcesses: -1}, machine, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if memory, processes := walls(tt.limits, tt.machine); memory != tt.memory || processes != tt.processes {
				t.Errorf("%d bytes, %d processes", memory, processes)
			}
		})
	}
}

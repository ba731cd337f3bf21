package supervisor

import (
	"testing"
	"time"

	"github.com/clinvk/clinvk/host/runner"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

const (
	none   = backendv1.ReliefLevel_RELIEF_LEVEL_NONE
	spares = backendv1.ReliefLevel_RELIEF_LEVEL_SPARES
	idle   = backendv1.ReliefLevel_RELIEF_LEVEL_IDLE
)

// moment is one measurement and what must come of it.
type moment struct {
	at        time.Duration
	memory    int64 // MiB
	processes int
	still     bool // no turn runs
	untold    bool // the plugin does not know yet what to give up
	want      action
	waits     bool
	level     backendv1.ReliefLevel
}

// TestPressure holds what is done about a backend that uses too much to the order
// that is documented. The limits are 100 MiB and 10 processes, a step has 3 s, and
// spares stay away for a minute.
func TestPressure(t *testing.T) {
	const s, m = time.Second, time.Minute
	for _, tt := range []struct {
		name    string
		without bool // Relieve
		moments []moment
	}{
		{"below", false, []moment{{at: 0, memory: 100, processes: 10, level: none}}},
		{"spares are enough", false, []moment{
			{at: 0, memory: 101, waits: true, level: spares},
			{at: 1 * s, memory: 95, waits: true, level: spares}, // not below 90
			{at: 2 * s, memory: 89, level: spares},
			{at: 61 * s, memory: 99, level: spares},
			{at: 63 * s, memory: 99, level: none},
		}},
		{"all steps", false, []moment{
			{at: 0, memory: 101, waits: true, level: spares},
			{at: 2 * s, memory: 101, waits: true, level: spares},
			{at: 3 * s, memory: 101, waits: true, level: idle},
			{at: 5 * s, memory: 101, waits: true, level: idle},
			{at: 6 * s, memory: 101, waits: true, level: idle, want: actStop},
			{at: 8 * s, memory: 101, waits: true, level: idle},
			{at: 9 * s, memory: 101, waits: true, level: idle, want: actStop},
			{at: 10 * s, memory: 50, level: spares},
			{at: 71 * s, memory: 50, level: none},
		}},
		{"growing fast", false, []moment{
			{at: 0, memory: 130, waits: true, level: spares},
			{at: 1 * s, memory: 130, waits: true, level: idle},
			{at: 2 * s, memory: 130, waits: true, level: idle, want: actStop},
			{at: 3 * s, memory: 130, waits: true, level: idle, want: actStop},
		}},
		{"growing fast before the plugin knows", false, []moment{
			{at: 0, memory: 130, waits: true, level: spares, untold: true},
			{at: 1 * s, memory: 130, waits: true, level: spares, untold: true},
			{at: 2 * s, memory: 130, waits: true, level: idle},
			{at: 3 * s, memory: 130, waits: true, level: idle, untold: true},
			{at: 4 * s, memory: 150, waits: true, level: idle, untold: true, want: actStop},
		}},
		{"a plugin without relief", true, []moment{
			{at: 0, memory: 101, waits: true, level: none},
			{at: 2 * s, memory: 101, waits: true, level: none},
			{at: 3 * s, memory: 101, waits: true, level: none, want: actStop},
			{at: 4 * s, memory: 10, level: none},
		}},
		{"a plugin without relief, growing fast", true, []moment{
			{at: 0, memory: 200, waits: true, level: none, want: actStop},
		}},
		{"nothing is stopped below the limit", false, []moment{
			{at: 0, memory: 101, waits: true, level: spares},
			{at: 3 * s, memory: 95, waits: true, level: idle},
			{at: 6 * s, memory: 95, waits: true, level: idle},
			{at: 60 * s, memory: 95, waits: true, level: idle},
			{at: 61 * s, memory: 95, still: true, level: spares}, // more does not come
		}},
		{"too many processes", false, []moment{
			{at: 0, processes: 11, waits: true, level: spares},
			{at: 3 * s, processes: 20, waits: true, level: idle},
			{at: 6 * s, processes: 20, waits: true, level: idle, want: actStop},
			{at: 7 * s, processes: 8, level: spares},
		}},
		{"a fork bomb", false, []moment{
			{at: 0, processes: 21, waits: true, level: spares, want: actKill},
			{at: 1 * s, processes: 30, waits: true, level: spares, want: actKill},
			{at: 2 * s, processes: 0, level: spares},
		}},
		{"again and again", false, []moment{
			{at: 0, memory: 101, waits: true, level: spares},
			{at: 1 * s, memory: 50, level: spares},
			{at: 61 * s, memory: 50, level: none},
			{at: 62 * s, memory: 101, waits: true, level: spares},
			{at: 63 * s, memory: 50, level: spares},
			{at: 63*s + 119*s, memory: 50, level: spares}, // twice as long
			{at: 63*s + 120*s, memory: 50, level: none},
			{at: 63*s + 240*s, memory: 50, level: none}, // forgotten
			{at: 10 * m, memory: 101, waits: true, level: spares},
			{at: 10*m + 1*s, memory: 50, level: spares},
			{at: 11*m + 1*s, memory: 50, level: none},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := pressure{
				limits: limits{memory: 100 << 20, processes: 10}, level: none,
				timings: Timings{Relief: 3 * s, ReliefFor: m},
			}
			begin := time.Now()
			for _, m := range tt.moments {
				got := p.observe(begin.Add(m.at), "b", runner.Usage{Memory: m.memory << 20, Processes: m.processes}, standing{
					relieves: !tt.without, told: !m.untold, busy: !m.still,
				})
				if got != m.want || p.level != m.level || (p.reason != "") != m.waits {
					t.Fatalf("at %v: action %d, level %v, reason %q", m.at, got, p.level, p.reason)
				}
			}
		})
	}
}

func TestPressureWithoutLimits(t *testing.T) {
	p := pressure{level: none}
	if do := p.observe(time.Now(), "b", runner.Usage{Memory: 1 << 50, Processes: 1 << 20}, standing{relieves: true}); do != actNothing || p.reason != "" {
		t.Errorf("action %d, reason %q", do, p.reason)
	}
}

func TestPressureSaysWhy(t *testing.T) {
	l := limits{memory: 100 << 20, processes: 10}
	for want, u := range map[string]runner.Usage{
		"": {Memory: 100 << 20, Processes: 10},
		"backend b used 250 MB of its 100 MB limit":   {Memory: 250 << 20, Processes: 20},
		"backend b ran 20 processes, its limit is 10": {Processes: 20},
	} {
		if got := l.excess("b", u); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

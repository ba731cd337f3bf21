package supervisor

import (
	"testing"
	"time"
)

// TestBackoff holds the waits between crashes to what the design says.
func TestBackoff(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		between time.Duration // crashes
		want    []time.Duration
		gaveUp  int // the crash that leads to quarantine; 0: none
	}{
		{"one after the other", time.Second, []time.Duration{0, 500 * ms, 1000 * ms, 2000 * ms}, 5},
		{
			"now and then", 4 * time.Minute,
			[]time.Duration{0, 500 * ms, 1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute}, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := history{timings: Config{}.withDefaults().Timings}
			now := time.Now()
			for n, want := range tt.want {
				wait, ok := h.crash(now)
				if !ok {
					t.Fatalf("quarantined after crash %d", n+1)
				}
				if low, high := time.Duration(0.8*float64(want)), time.Duration(1.2*float64(want)); wait < low || wait > high {
					t.Errorf("crash %d: wait %v, want %v ± 20 %%", n+1, wait, want)
				}
				now = now.Add(tt.between)
			}
			if _, ok := h.crash(now); ok != (tt.gaveUp == 0) {
				t.Errorf("one more crash: %v", ok)
			}
		})
	}
}

func TestBackoffForgets(t *testing.T) {
	h := history{timings: Config{}.withDefaults().Timings}
	now := time.Now()
	h.crash(now)
	h.recovered()
	if wait, ok := h.crash(now); !ok || wait != 0 {
		t.Errorf("after it was steady: %v, %v", wait, ok)
	}
	for range 3 {
		h.crash(now)
	}
	h.forget()
	if wait, ok := h.crash(now); !ok || wait != 0 {
		t.Errorf("after forgetting: %v, %v", wait, ok)
	}
}

func FuzzStdioData(f *testing.F) {
	f.Add([]byte{8, 1, 18, 2, 'h', 'i'})
	f.Add([]byte{18, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		channel, data, err := stdioData(b)
		if err == nil && channel == 0 || len(data) > len(b) {
			t.Fatalf("channel %d, %d bytes, %v", channel, len(data), err)
		}
	})
}

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFitted(t *testing.T) {
	rows := [][]string{{"N", "TITLE", "DIR"}, {"1", "日本語の長い題名です", "/home/someone/projects/deep"}, {"12", "🎉 short", "/x"}}
	for _, test := range []struct {
		name  string
		width int
		want  []string
	}{
		{"as wide as it is", 0, []string{
			"N   TITLE                 DIR",
			"1   日本語の長い題名です  /home/someone/projects/deep",
			"12  🎉 short              /x",
		}},
		{"narrow", 40, []string{
			"N   TITLE              DIR",
			"1   日本語の長い題名…  …ne/projects/deep",
			"12  🎉 short           /x",
		}},
		{"no room at all", 5, []string{"N   …", "1   …", "12  …"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := fitted(test.width, rows, elastic{column: 1}, elastic{column: 2, tail: true})
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if got := fitted(10, nil); got != nil {
		t.Errorf("no rows: %q", got)
	}
}

func TestNothingIsWiderThanTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab 日語🎉é─")), 0, 60, -1)
		rows := rapid.SliceOfN(rapid.SliceOfN(text, 3, 3), 1, 5).Draw(t, "rows")
		width := rapid.IntRange(1, 120).Draw(t, "width")
		for _, line := range fitted(width, rows, elastic{column: 1}, elastic{column: 2, tail: true}) {
			if w := lipgloss.Width(line); w > width {
				t.Fatalf("%q has %d columns, not at most %d", line, w, width)
			}
		}
	})
}

func TestAge(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		-time.Hour: "now", 59 * time.Second: "now", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m", time.Hour: "1h",
		day - 1: "23h", day: "1d", 14*day - 1: "13d", 14 * day: "2w", 364 * day: "52w", 365 * day: "1y", 800 * day: "2y",
	} {
		if got := age(now.Add(-ago), now); got != want {
			t.Errorf("%v ago is %q, not %q", ago, got, want)
		}
	}
}

func TestTilde(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for dir, want := range map[string]string{
		"": "", home: "~", filepath.Join(home, "a", "b"): filepath.Join("~", "a", "b"),
		home + "2": home + "2", filepath.Dir(home): filepath.Dir(home),
	} {
		if got := tilde(dir); got != want {
			t.Errorf("%q is %q, not %q", dir, got, want)
		}
	}
}

func TestParseAge(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0d": 0, "30d": 30 * day, "2w": 14 * day, "36500d": 36500 * day, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "0": 0,
	} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "w", "-1d", "-1h", "1.5d", "36501d", "99999999999999999999d", "30", "1y", "soon", "1 d"} {
		if got, err := parseAge(text); err == nil || !strings.Contains(err.Error(), "30d") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

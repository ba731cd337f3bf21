package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"
)

// pickable are sessions, the newest first.
func pickable(now time.Time) []sessionInfo {
	return []sessionInfo{
		{ID: "aaaa", Backend: "claude", Title: "修复竞态条件", Workdir: "/src/服务器", Turns: 3, UpdatedAt: now.Add(-time.Minute)},
		{ID: "bbbb", Backend: "codex", Title: "Party 🎉 planning", Workdir: "/src/party", Turns: 1, UpdatedAt: now.Add(-time.Hour), Tags: []string{"fun"}},
		{ID: "cccc", Backend: "codex", Title: strings.Repeat("a very long title ", 10), Workdir: "/src/" + strings.Repeat("deep/", 30) + "end", UpdatedAt: now.Add(-48 * time.Hour)},
	}
}

// keyed is the list after keys.
func keyed(t *testing.T, m picker, keys ...string) picker {
	t.Helper()
	for _, key := range keys {
		next, _ := m.Update(pressed(key))
		m = next.(picker) //nolint:forcetypeassert // Update returns nothing else
	}
	return m
}

func newTestPicker(sessions []sessionInfo, now time.Time) picker {
	return newPicker(sessions, terminal{Writer: &bytes.Buffer{}, fd: -1}, now)
}

func TestPicker(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, test := range []struct {
		name      string
		keys      []string
		chosen    string
		shown     int
		done      bool
		cancelled bool
	}{
		{"nothing yet", nil, "", 3, false, false},
		{"the first", []string{"enter"}, "aaaa", 3, true, false},
		{"moved", []string{"down", "down", "up", "enter"}, "bbbb", 3, true, false},
		{"not beyond the end", []string{"pgdown", "down", "enter"}, "cccc", 3, true, false},
		{"not beyond the begin", []string{"down", "pgup", "up", "enter"}, "aaaa", 3, true, false},
		{"filtered", []string{"down", "codex", " party", "enter"}, "bbbb", 1, true, false},
		{"by tag and case", []string{"FUN", "enter"}, "bbbb", 1, true, false},
		{"by wide characters", []string{"竞态", "enter"}, "aaaa", 1, true, false},
		{"by directory", []string{"服务", "enter"}, "aaaa", 1, true, false},
		{"none", []string{"nothing like it", "down", "enter"}, "", 0, false, false},
		{"none, then all", []string{"nothing like it", "ctrl+u", "enter"}, "aaaa", 3, true, false},
		{"left", []string{"esc"}, "", 3, true, false},
		{"cancelled", []string{"ctrl+c"}, "", 3, true, true},
		{"the end of input", []string{"ctrl+d"}, "", 3, true, false},
		{"deleting in the filter", []string{"xparty", "home", "ctrl+d", "enter"}, "bbbb", 1, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := keyed(t, newTestPicker(pickable(now), now), test.keys...)
			chosen := ""
			if m.chosen != nil {
				chosen = m.chosen.ID
			}
			if chosen != test.chosen || len(m.shown) != test.shown || m.done != test.done || m.cancelled != test.cancelled {
				t.Errorf("chosen %q, shown %d, done %v, cancelled %v", chosen, len(m.shown), m.done, m.cancelled)
			}
			if m.done && m.View().Content != "" {
				t.Errorf("it leaves %q", m.View().Content)
			}
		})
	}
}

func TestPickerView(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, width := range []int{20, 80, 140} {
		next, _ := newTestPicker(pickable(now), now).Update(tea.WindowSizeMsg{Width: width, Height: 24})
		lines := strings.Split(next.View().Content, "\n")
		if len(lines) != 3+pickerFrame {
			t.Errorf("%d lines: %q", len(lines), lines)
		}
		for _, line := range lines {
			if w := lipgloss.Width(line); w > width {
				t.Errorf("%q has %d columns, not at most %d", line, w, width)
			}
		}
	}
	want := []string{
		"  LAST TURN  BACKEND  TURNS  TITLE                     DIRECTORY",
		"> 1m         claude   3      修复竞态条件              /src/服务器",
		"  1h         codex    1      Party 🎉 planning         /src/party",
		"  2d         codex    0      a very long title a ver…  …/deep/deep/deep/deep/end",
		"  3 of 3 · type to filter, ↑↓ move, enter resumes, esc leaves",
	}
	m := newTestPicker(pickable(now), now)
	m.width = 80
	if diff := cmp.Diff(want, m.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestPickerScrolls(t *testing.T) {
	var many []sessionInfo
	for i := range 30 {
		many = append(many, sessionInfo{ID: fmt.Sprint(i)})
	}
	m := newTestPicker(many, time.Time{})
	for _, test := range []struct {
		key     string
		at, top int
	}{{"pgdown", 12, 1}, {"down", 13, 2}, {"up", 12, 2}, {"pgdown", 24, 13}, {"pgdown", 29, 18}, {"pgup", 17, 17}, {"pgup", 5, 5}, {"pgup", 0, 0}} {
		if m = keyed(t, m, test.key); m.at != test.at || m.top != test.top {
			t.Errorf("after %s the mark is at %d of %d, not %d of %d", test.key, m.at, m.top, test.at, test.top)
		}
	}
	next, _ := m.Update(tea.WindowSizeMsg{Width: 80, Height: 8})
	if got := strings.Count(next.View().Content, "\n") + 1; got != 8 {
		t.Errorf("%d lines in 8", got)
	}
}

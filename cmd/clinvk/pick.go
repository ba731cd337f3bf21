package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
)

// pick has the user choose a session.
func pick(ctx context.Context, sessions []sessionInfo, s streams) (*sessionInfo, error) {
	out := terminalOf(s.err)
	end, err := onTerminal(ctx, s, newPicker(sessions, out, time.Now()))
	if err != nil {
		return nil, err
	}
	m := end.(picker) //nolint:forcetypeassert // Update returns nothing else
	switch {
	case m.cancelled:
		return nil, context.Canceled
	case m.chosen == nil:
		return nil, sessionError{errors.New("no session was chosen")}
	}
	return m.chosen, nil
}

// picker is a list of sessions that typing makes shorter.
type picker struct {
	filter        input
	all, shown    []sessionInfo
	at, top       int // in shown: what is marked, and the first line
	width, height int
	out           terminal
	now           time.Time
	chosen        *sessionInfo
	cancelled     bool
	done          bool
}

const (
	filterPrompt = "Session: "
	// pickerRows of sessions are shown at most, and others by moving on.
	pickerRows = 12
	// pickerFrame is the lines around them: filter, heading, help.
	pickerFrame = 3
)

func newPicker(sessions []sessionInfo, out terminal, now time.Time) picker {
	const lines = 24 // until the terminal tells
	return picker{all: sessions, shown: sessions, width: out.width(), height: lines, out: out, now: now}
}

// Init does nothing.
func (m picker) Init() tea.Cmd { return nil }

// Update takes in what happens on the terminal.
func (m picker) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m.move(0), nil
	case tea.KeyPressMsg:
		switch msg.String() {
		case "enter":
			if len(m.shown) == 0 {
				return m, nil
			}
			m.chosen = &m.shown[m.at]
			m.done = true
			return m, tea.Quit
		case "esc":
			m.done = true
			return m, tea.Quit
		case "ctrl+c":
			m.done, m.cancelled = true, true
			return m, tea.Quit
		case "up", "ctrl+p":
			return m.move(-1), nil
		case "down", "ctrl+n":
			return m.move(1), nil
		case "pgup":
			return m.move(-m.rows()), nil
		case "pgdown":
			return m.move(m.rows()), nil
		}
	}
	before := string(m.filter.text)
	m.filter.update(msg)
	if after := string(m.filter.text); after != before {
		m.shown = matching(m.all, after)
		m.at, m.top = 0, 0
	}
	return m, nil
}

// rows is how many sessions are shown at a time.
func (m picker) rows() int { return max(1, min(pickerRows, m.height-pickerFrame)) }

// move moves the mark, and the list with it.
func (m picker) move(by int) picker {
	m.at = max(0, min(len(m.shown)-1, m.at+by))
	m.top = max(m.at-m.rows()+1, min(m.top, m.at))
	return m
}

// matching are the sessions that hold each word of what was typed.
func matching(all []sessionInfo, typed string) []sessionInfo {
	words := strings.Fields(strings.ToLower(typed))
	var out []sessionInfo
	for _, i := range all {
		text := strings.ToLower(strings.Join([]string{i.ID, i.Backend, i.Title, i.Workdir, strings.Join(i.Tags, " ")}, " "))
		if holds(text, words) {
			out = append(out, i)
		}
	}
	return out
}

func holds(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// View is the filter, the sessions that it lets through, and a line of help.
func (m picker) View() tea.View {
	if m.done {
		return tea.NewView("")
	}
	text, cursor := m.filter.view(max(1, m.width-len(filterPrompt)))
	v := tea.NewView(filterPrompt + text + "\n" + strings.Join(m.lines(), "\n"))
	v.Cursor = tea.NewCursor(len(filterPrompt)+cursor, 0)
	return v
}

// lines are those below the filter.
func (m picker) lines() []string {
	rows := [][]string{{"LAST TURN", "BACKEND", "TURNS", "TITLE", "DIRECTORY"}}
	last := min(len(m.shown), m.top+m.rows())
	for _, i := range m.shown[m.top:last] {
		rows = append(rows, []string{age(i.UpdatedAt, m.now), printable(i.Backend), fmt.Sprint(i.Turns), printable(i.Title), printable(tilde(i.Workdir))})
	}
	const mark = "> "
	lines := fitted(max(1, m.width-len(mark)), rows, elastic{column: 3}, elastic{column: 4, tail: true})
	for i, l := range lines {
		switch {
		case i == 0:
			lines[i] = m.out.dim("  " + l)
		case m.top+i-1 == m.at:
			lines[i] = m.out.bold(mark + l)
		default:
			lines[i] = "  " + l
		}
	}
	help := fmt.Sprintf("  %d of %d · type to filter, ↑↓ move, enter resumes, esc leaves", len(m.shown), len(m.all))
	return append(lines, m.out.dim(ansi.Truncate(help, m.width, "…")))
}

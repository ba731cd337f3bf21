package main

import (
	"context"
	"fmt"
	"io"
	"os"

	tea "charm.land/bubbletea/v2"
)

// linePrompt is before what the user types.
const linePrompt = "> "

// readLine lets the user edit a line, with the earlier ones in reach. It returns
// io.EOF when the user ends the input.
func readLine(ctx context.Context, s streams, earlier []string) (string, error) {
	end, err := onTerminal(ctx, s, line{width: terminalOf(s.err).width(), earlier: earlier, at: len(earlier)})
	if err != nil {
		return "", err
	}
	m := end.(line) //nolint:forcetypeassert // Update returns nothing else
	if m.ended {
		return "", io.EOF
	}
	text := string(m.input.text)
	_, err = fmt.Fprintln(s.err, linePrompt+terminalOf(s.err).shown(text))
	return text, err
}

// onTerminal runs a model on stdin and stderr until it ends.
func onTerminal(ctx context.Context, s streams, m tea.Model) (tea.Model, error) {
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithInput(s.in), tea.WithOutput(s.err), tea.WithEnvironment(os.Environ()), tea.WithoutSignalHandler())
	end, err := p.Run()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("using the terminal: %w", err)
	}
	return end, nil
}

// line is a line that is edited.
type line struct {
	input       input
	width       int
	earlier     []string
	at          int // in earlier; its length: the new line
	done, ended bool
}

// Init does nothing.
func (m line) Init() tea.Cmd { return nil }

// Update takes in what happens on the terminal.
func (m line) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width = msg.Width
		return m, nil
	case tea.KeyPressMsg:
		switch msg.String() {
		case "enter":
			m.done = true
			return m, tea.Quit
		case "ctrl+c":
			return m.recall(len(m.earlier)), nil
		case "ctrl+d":
			if len(m.input.text) == 0 {
				m.done, m.ended = true, true
				return m, tea.Quit
			}
		case "up", "ctrl+p":
			return m.recall(m.at - 1), nil
		case "down", "ctrl+n":
			return m.recall(m.at + 1), nil
		}
	}
	m.input.update(msg)
	return m, nil
}

// recall puts an earlier line into the input.
func (m line) recall(at int) line {
	if at < 0 || at > len(m.earlier) {
		return m
	}
	m.at = at
	m.input.set("")
	if at < len(m.earlier) {
		m.input.set(m.earlier[at])
	}
	return m
}

// View is the line; what was typed in the end is printed by readLine, however long.
func (m line) View() tea.View {
	if m.done {
		return tea.NewView("")
	}
	text, cursor := m.input.view(max(1, m.width-len(linePrompt)))
	v := tea.NewView(linePrompt + text)
	v.Cursor = tea.NewCursor(len(linePrompt)+cursor, 0)
	return v
}

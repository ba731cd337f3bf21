package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"
	"charm.land/lipgloss/v2/table"
	"github.com/spf13/cobra"
)

func newBackends(s streams) *cobra.Command {
	var o connectOptions
	var output string
	cmd := &cobra.Command{
		Use:   "backends",
		Short: "List the backends: whether they can answer, their versions and models",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return listBackends(cmd.Context(), o, output, s)
		},
	}
	outputFlag(cmd, &output)
	o.flags(cmd)
	return cmd
}

// backendInfo is what the server tells about a backend.
type backendInfo struct {
	Name        string            `json:"name"`
	Available   bool              `json:"available"`
	State       string            `json:"state"`
	Message     string            `json:"message"`
	Remedy      string            `json:"remedy"`
	Version     string            `json:"version"`
	CLIVersions map[string]string `json:"cli_versions"`
	Models      []struct {
		ID      string `json:"id"`
		Default bool   `json:"default"`
	} `json:"models"`
}

func listBackends(ctx context.Context, o connectOptions, output string, s streams) (err error) {
	stop := terminalOf(s.err).spin("starting the backends")
	defer func() { stop() }()
	c, err := o.connect(ctx, s, all)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	var raw json.RawMessage
	if err := c.Get(ctx, "/api/v1/backends", &raw); err != nil {
		return err
	}
	stop()
	stop = func() {}
	if output == outputJSON {
		return writeJSON(s.out, raw)
	}
	var list struct {
		Backends []backendInfo `json:"backends"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	var rows [][]string
	for _, b := range list.Backends {
		rows = append(rows, []string{b.Name, b.word(), printable(b.Version), b.cli(), b.models(), printable(b.Message)})
	}
	_, err = fmt.Fprintln(s.out, grid(terminalOf(s.out), []string{"BACKEND", "STATE", "VERSION", "CLI", "MODELS", ""}, rows))
	return err
}

// word says whether the backend can answer.
func (b backendInfo) word() string {
	if b.Available {
		return "ready"
	}
	if b.State == "ready" { // the plugin is, its CLI is not
		return "unavailable"
	}
	return b.State
}

// cli is the versions of the CLIs.
func (b backendInfo) cli() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b.CLIVersions)) {
		out = append(out, printable(b.CLIVersions[name]))
	}
	return strings.Join(out, ", ")
}

// models are the names of the first ones.
func (b backendInfo) models() string {
	const shown = 3
	var out []string
	for _, m := range b.Models[:min(shown, len(b.Models))] {
		out = append(out, printable(m.ID))
	}
	if n := len(b.Models) - shown; n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(out, ", ")
}

// grid is a table without lines that fits the terminal: what is too long is wrapped.
// What is no terminal gets one line for each row.
func grid(out terminal, head []string, rows [][]string) string {
	t := table.New().Headers(head...).Rows(rows...).
		Border(lipgloss.HiddenBorder()).BorderTop(false).BorderBottom(false).BorderLeft(false).BorderRight(false).BorderHeader(false).BorderColumn(false).
		StyleFunc(func(row, _ int) lipgloss.Style {
			style := lipgloss.NewStyle().PaddingRight(2)
			if row == table.HeaderRow && out.colour() {
				style = style.Bold(true)
			}
			return style
		})
	if out.tty {
		t = t.Width(out.width())
	}
	lines := strings.Split(t.String(), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

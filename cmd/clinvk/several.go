package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// severalOptions are the flags of verbs that run several turns.
type severalOptions struct {
	connectOptions
	json, quiet bool
	// dryRun is a flag of its own only where the prompt has none.
	dryRun     bool
	aggregated bool // parallel.aggregate_output may make it quiet
}

func (o *severalOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.json, "json", false, "print the answer as JSON")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print the outputs only")
	o.connectOptions.flags(cmd)
}

// dryRunFlag is for verbs that do not have the flags of a prompt.
func (o *severalOptions) dryRunFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "run nothing: show what would be run")
}

// answer is what the server answers to any of these verbs.
type answer struct {
	Results []answerResult `json:"results"`
}

type answerResult struct {
	Index      int    `json:"index"`
	Step       int    `json:"step"`
	TaskID     string `json:"task_id"`
	TaskName   string `json:"task_name"`
	Name       string `json:"name"`
	Backend    string `json:"backend"`
	Model      string `json:"model"`
	DurationMS int64  `json:"duration_ms"`
	Output     string `json:"output"`
	Error      *struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		ExitCode *int   `json:"exit_code"`
	} `json:"error"`
}

// run asks for several turns, shows how far they are, and prints what became of them.
// The error is that of the first turn that failed.
func (o severalOptions) run(ctx context.Context, path, what string, total int, q any, needs func(*config.Config) []string, s streams) (err error) {
	c, err := o.connect(ctx, s, needs)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	if o.dryRun {
		return o.plan(ctx, c, path, q, s)
	}
	var whole json.RawMessage
	ended := 0
	progress := func() string { return fmt.Sprintf("%s %d/%d", what, ended, total) }
	stop := terminalOf(s.err).spin(progress())
	err = c.Stream(ctx, path, q, func(e client.Event) error {
		switch e.Type {
		case "done", "error":
			ended++
			stop()
			stop = terminalOf(s.err).spin(progress())
		case "result":
			whole = e.Content
		}
		return nil
	})
	stop()
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(whole, &a); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	if o.json {
		err = writeJSON(s.out, whole)
	} else {
		if whole := c.settings.Parallel.AggregateOutput; o.aggregated && whole != nil && !*whole {
			o.quiet = true
		}
		out := terminalOf(s.out)
		out.plain = c.settings.Output.Color != nil && !*c.settings.Output.Color
		err = o.print(a, max(total, len(a.Results)), out)
	}
	return errors.Join(err, a.failure())
}

// plan prints what would become of several turns. The error is that of the first that
// would be refused.
func (o severalOptions) plan(ctx context.Context, c *connection, path string, q any, s streams) error {
	var whole json.RawMessage
	if err := c.Post(ctx, path, q, &whole); err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(whole, &a); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	var err error
	if o.json {
		err = writeJSON(s.out, whole)
	} else {
		err = printPlans(terminalOf(s.out), whole)
	}
	return errors.Join(err, a.failure())
}

// print shows the results one after another, each below a line that says whose it is.
func (o severalOptions) print(a answer, total int, out terminal) error {
	head := lipgloss.NewStyle()
	bad := lipgloss.NewStyle()
	if out.colour() {
		head, bad = head.Bold(true), bad.Foreground(lipgloss.Red)
	}
	for i, r := range a.Results {
		if i > 0 && !o.quiet {
			_, _ = fmt.Fprintln(out)
		}
		if !o.quiet {
			_, _ = fmt.Fprintln(out, head.Render(r.title(total, out.width())))
		}
		if text := strings.TrimRight(out.shown(r.Output), "\n"); text != "" {
			_, _ = fmt.Fprintln(out, text)
		}
		if r.Error != nil {
			if _, err := fmt.Fprintln(out, bad.Render("failed: "+printable(r.Error.Message))); err != nil {
				return err
			}
		}
	}
	return nil
}

// title is the line above a result, filled up to the width.
func (r answerResult) title(total, width int) string {
	place := r.Step
	if place == 0 {
		place = r.Index + 1
	}
	t := fmt.Sprintf("── %d/%d  %s", place, total, r.Backend)
	for _, name := range []string{r.TaskName, r.TaskID, r.Name} {
		if name != "" {
			t += "  " + printable(name)
			break
		}
	}
	t += fmt.Sprintf("  %.1fs ", (time.Duration(r.DurationMS) * time.Millisecond).Seconds())
	return ruled(t, width)
}

// ruled is a title, filled up to the width with a line.
func ruled(title string, width int) string {
	return title + strings.Repeat("─", max(0, width-lipgloss.Width(title)))
}

// failure is the error of the first turn that failed; nil: all worked.
func (a answer) failure() error {
	failed := 0
	var first error
	for _, r := range a.Results {
		if r.Error == nil {
			continue
		}
		if failed++; first == nil && r.Error.Code != "cancelled" {
			first = &client.Error{Code: r.Error.Code, ExitCode: r.Error.ExitCode, Detail: fmt.Sprintf("%s: %s", r.Backend, printable(r.Error.Message))}
		}
	}
	switch {
	case failed == 0:
		return nil
	case first == nil:
		return context.Canceled
	case failed == 1:
		return first
	}
	return fmt.Errorf("%d failed; the first: %w", failed, first)
}

// readRequest reads a file with the body of a request, JSON or YAML; "-" is stdin. A
// bare list is the member named list.
func readRequest(ctx context.Context, path, list string, s streams) (map[string]any, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = readInput(ctx, s)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", list, err)
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, fmt.Errorf("%s is neither JSON nor YAML: %w", path, err)
	}
	switch v := v.(type) {
	case map[string]any:
		return v, nil
	case []any:
		return map[string]any{list: v}, nil
	}
	return nil, fmt.Errorf("%s must hold a list of %s, or an object with %[2]s", path, list)
}

// count is how many there are of what a request lists.
func count(q map[string]any, list string) int {
	items, _ := q[list].([]any)
	return len(items)
}

// named lists the backends that the items of a request name; nil: some name none.
func named(q map[string]any, list string) func(*config.Config) []string {
	return func(c *config.Config) []string {
		var out []string
		items, _ := q[list].([]any)
		for _, item := range items {
			fields, _ := item.(map[string]any)
			backend, _ := fields["backend"].(string)
			model, _ := fields["model"].(string)
			need := only(backend, model)(c)
			if need == nil {
				return nil
			}
			out = append(out, need...)
		}
		return out
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// severalOptions are the flags of verbs that run several turns.
type severalOptions struct {
	connectOptions
	json, quiet bool
	output      string
	// dryRun is a flag of its own only where the prompt has none.
	dryRun     bool
	aggregated bool // parallel.aggregate_output may make it quiet
}

func (o *severalOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.output, "output", "o", outputText, "text, json or stream-json")
	cmd.Flags().BoolVar(&o.json, "json", false, "the same as -o json")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "print the outputs only")
	o.connectOptions.flags(cmd)
}

// check settles the form of output.
func (o *severalOptions) check() error {
	if o.json {
		if o.output != outputText && o.output != outputJSON {
			return errors.New("--json and --output exclude each other")
		}
		o.output = outputJSON
	}
	return checkForm(o.output)
}

// dryRunFlag is for verbs that do not have the flags of a prompt.
func (o *severalOptions) dryRunFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "run nothing: show what would be run")
}

// run asks for several turns, shows how far they are, and prints what became of them,
// also when a signal ends them. The error is that of the first turn that failed.
func (o severalOptions) run(ctx context.Context, path, what string, total int, q any, needs func(*config.Config) []string, s streams) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	c, err := o.connect(ctx, s, needs)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	if o.dryRun {
		return o.plan(ctx, c, path, q, s)
	}
	progress := progress{what: what, total: total, err: terminalOf(s.err)}
	if o.output == outputStream {
		progress.events = s.out
	}
	failure := softly(ctx, c, func(ctx context.Context) error { return progress.follow(ctx, c, path, q) })
	if progress.answer == nil {
		return failure
	}
	a, err := readAnswer(progress.answer)
	if err != nil {
		return err
	}
	switch o.output {
	case outputText:
		err = o.show(a, max(total, len(a.Results)), c.settings, s)
	case outputJSON:
		err = writeJSON(s.out, progress.answer)
	}
	if failure == nil {
		failure = a.failure()
	}
	return errors.Join(err, failure)
}

// show prints the results as text, as the settings want it.
func (o severalOptions) show(a answer, total int, c *config.Config, s streams) error {
	if whole := c.Parallel.AggregateOutput; o.aggregated && whole != nil && !*whole {
		o.quiet = true
	}
	out := terminalOf(s.out)
	out.plain = c.Output.Color != nil && !*c.Output.Color
	return o.print(a, total, out)
}

// progress shows how many turns of a request have ended.
type progress struct {
	what         string // they are
	ended, total int
	err          terminal
	events       io.Writer       // gets them as they come; nil: nothing does
	answer       json.RawMessage // of the whole; nil: it did not come
}

// follow sends a request and reads its events to their end.
func (p *progress) follow(ctx context.Context, c *connection, path string, q any) error {
	spin := func() (stop func()) { return p.err.spin(fmt.Sprintf("%s %d/%d", p.what, p.ended, p.total)) }
	stop := spin()
	defer func() { stop() }()
	return c.Stream(ctx, path, q, func(e client.Event) error {
		switch e.Type {
		case "done", "error":
			p.ended++
			stop()
			stop = spin()
		case "result":
			p.answer = e.Content
		}
		if p.events == nil {
			return nil
		}
		_, err := fmt.Fprintf(p.events, "%s\n", e.Line)
		return err
	})
}

// plan prints what would become of several turns. The error is that of the first that
// would be refused.
func (o severalOptions) plan(ctx context.Context, c *connection, path string, q any, s streams) error {
	var whole json.RawMessage
	if err := c.Post(ctx, path, q, &whole); err != nil {
		return err
	}
	a, err := readAnswer(whole)
	if err != nil {
		return err
	}
	if o.output == outputText {
		err = printPlans(terminalOf(s.out), whole)
	} else {
		err = writeJSON(s.out, whole)
	}
	return errors.Join(err, a.failure())
}

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// promptOptions are the flags of a prompt.
type promptOptions struct {
	connectOptions
	turnOptions
	keepOptions
	output    string
	outputSet bool // by the flag
	verbose   bool
}

// turnOptions are those of every verb that runs turns.
type turnOptions struct {
	backend, model, workdir, mode, approval, sandbox, system, effort string
	maxTokens                                                        int64
	maxTurns                                                         int
	timeout                                                          float64
	ephemeral, dryRun                                                bool
}

func (o *turnOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "", "model: one of the backend's, or an alias")
	f.StringVarP(&o.workdir, "workdir", "w", "", "directory that the agent works in (default: this one)")
	f.StringVar(&o.mode, "mode", "", "agent (default) or chat: no tools, your system prompt only")
	f.StringVar(&o.approval, "approval-mode", "", "default, auto, none or always")
	f.StringVar(&o.sandbox, "sandbox-mode", "", "default, read-only, workspace or full")
	f.StringVar(&o.system, "system", "", "system prompt")
	f.StringVar(&o.effort, "effort", "", "how much to reason: low, medium, high")
	f.Int64Var(&o.maxTokens, "max-tokens", 0, "most tokens of the answer")
	f.IntVar(&o.maxTurns, "max-turns", 0, "most model calls of an agent")
	f.Float64Var(&o.timeout, "timeout", 0, "seconds that it may take")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep no session")
	f.BoolVar(&o.dryRun, "dry-run", false, "run nothing: show what would be run")
}

// request is the body that asks for a prompt.
func (o turnOptions) request(prompt string) (map[string]any, error) {
	q := map[string]any{"prompt": prompt}
	for key, value := range map[string]string{
		"backend": o.backend, "model": o.model, "mode": o.mode, "approval_mode": o.approval,
		"sandbox_mode": o.sandbox, "system_prompt": o.system, "reasoning_effort": o.effort,
	} {
		if value != "" {
			q[key] = value
		}
	}
	if o.maxTokens != 0 {
		q["max_tokens"] = o.maxTokens
	}
	if o.maxTurns != 0 {
		q["max_turns"] = o.maxTurns
	}
	if math.IsNaN(o.timeout) || math.IsInf(o.timeout, 0) || o.timeout < 0 {
		return nil, fmt.Errorf("--timeout is %v; it must be a number of seconds", o.timeout)
	}
	if o.timeout != 0 {
		q["timeout_secs"] = o.timeout
	}
	if o.ephemeral {
		q["ephemeral"] = true
	}
	if o.dryRun {
		q["dry_run"] = true
	}
	if o.mode == "chat" && o.workdir == "" {
		return q, nil
	}
	dir, err := filepath.Abs(o.workdir) // empty: this one
	if err != nil {
		return nil, fmt.Errorf("the working directory: %w", err)
	}
	q["workdir"] = dir
	return q, nil
}

// Forms of output of prompts.
const (
	outputText   = "text"
	outputStream = "stream-json"
)

// addPrompt makes the root command run prompts.
func addPrompt(root *cobra.Command, s streams) {
	var o promptOptions
	root.Use = "clinvk [PROMPT]"
	root.Args = cobra.ArbitraryArgs
	root.Example = "  clinvk \"explain this repository\"\n  git diff | clinvk -b codex \"review this\"\n  clinvk -m claude/opus -o json \"hi\""
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if err := o.check(cmd); err != nil {
			return err
		}
		prompt, err := readPrompt(cmd.Context(), args, s)
		if err != nil {
			return err
		}
		switch {
		case prompt == "" && cmd.Flags().NFlag() == 0:
			return cmd.Help()
		case prompt == "":
			return errNoPrompt
		}
		o.outputSet = cmd.Flags().Changed("output")
		return runPrompt(cmd.Context(), o, prompt, s)
	}
	f := root.Flags()
	f.StringVarP(&o.backend, "backend", "b", "", "backend that answers (default: default_backend of the configuration)")
	f.StringVarP(&o.output, "output", "o", outputText, "text, json or stream-json (default: output.format of the configuration)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show on stderr what the backend thinks and does")
	o.turnOptions.flags(root)
	o.keepOptions.flags(root)
	o.connectOptions.flags(root)
}

func runPrompt(ctx context.Context, o promptOptions, prompt string, s streams) (err error) {
	q, err := o.request(prompt)
	if err != nil {
		return err
	}
	if err := checkForm(o.output); err != nil {
		return err
	}
	stop := terminalOf(s.err).spin(o.waiting())
	defer func() { stop() }()
	c, err := o.enter(ctx, s, q)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	o.settle(c.settings)
	session, err := o.ask(ctx, c, q, stop, s)
	switch {
	case err != nil || o.dryRun || o.ephemeral:
		return err
	case session == "":
		_, err = fmt.Fprintln(s.err, "clinvk: the answer is not kept:", c.noStore())
		return err
	case o.output == outputText:
		return terminalOf(s.err).tell(session)
	}
	return nil
}

// checkForm checks the form of output.
func checkForm(output string) error {
	switch output {
	case outputText, outputStream, outputJSON:
		return nil
	}
	return fmt.Errorf("the output is %q; it must be text, json or stream-json", output)
}

// settle takes from the settings what the flags do not say.
func (o *promptOptions) settle(c *config.Config) {
	if !o.outputSet {
		o.output = cmp.Or(c.Output.Format, outputText)
	}
	o.verbose = o.verbose || c.UnifiedFlags.Verbose
	o.dryRun = o.dryRun || c.UnifiedFlags.DryRun
}

// ask sends a prompt and shows the answer. It returns the session that the answer is
// kept in; empty: it is not. stop ends the spinner. When ctx ends,
// the turn is ended properly.
func (o promptOptions) ask(ctx context.Context, c *connection, q map[string]any, stop func(), s streams) (session string, err error) {
	err = softly(ctx, c, func(ctx context.Context) error {
		if o.output == outputJSON || o.dryRun {
			q["output_format"] = outputJSON
			var answer json.RawMessage
			if err := c.Post(ctx, "/api/v1/prompt", q, &answer); err != nil {
				return err
			}
			stop()
			if o.dryRun && o.output == outputText {
				return printPlans(terminalOf(s.out), answer)
			}
			var kept struct {
				ID string `json:"session_id"`
			}
			if err := json.Unmarshal(answer, &kept); err != nil {
				return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
			}
			session = kept.ID
			return writeJSON(s.out, answer)
		}
		q["output_format"] = outputStream
		shown := c.settings.Output
		p := printer{
			out: terminalOf(s.out), err: terminalOf(s.err), verbose: o.verbose,
			raw: o.output == outputStream, tokens: shown.ShowTokens, timing: shown.ShowTiming, quiet: sync.OnceFunc(stop),
		}
		err := c.Stream(ctx, "/api/v1/prompt", q, p.event)
		session = p.session
		if broken := p.end(err); err == nil {
			err = broken
		}
		return err
	})
	return session, err
}

// waiting is what the spinner says.
func (o promptOptions) waiting() string {
	switch {
	case o.backend != "":
		return o.backend
	case o.model != "":
		return o.model
	}
	return "waiting"
}

// printer writes the events of a turn as they come.
type printer struct {
	out, err     terminal
	verbose, raw bool
	// tokens and timing are told at the end (output.show_tokens and show_timing).
	tokens, timing bool
	quiet          func() // ends the spinner
	last           byte   // of what was written
	failed         bool   // an error was written
	cost           string // what is told at the end
	session        string // that the events belong to
}

func (p *printer) event(e client.Event) error {
	p.session = e.SessionID
	if p.raw {
		p.quiet()
		_, err := fmt.Fprintf(p.out, "%s\n", e.Line)
		if e.Type == "error" {
			p.failed = true
			return errors.Join(err, failure(e))
		}
		return err
	}
	switch e.Type {
	case "message":
		p.quiet()
		text := p.out.shown(textOf(e))
		if text != "" {
			p.last = text[len(text)-1]
		}
		_, err := io.WriteString(p.out, text)
		return err
	case "error":
		return failure(e)
	case "done":
		p.cost = p.costOf(e)
	case "thinking", "tool_use", "tool_result", "notice":
		if p.verbose {
			p.quiet()
			_, err := fmt.Fprintf(p.err, "[%s] %s\n", e.Type, printable(summary(e)))
			return err
		}
	}
	return nil
}

// end ends the last line of text, so that a terminal's prompt does not follow it. A
// turn that failed before there was any event is an event where events are wanted.
func (p *printer) end(failure error) error {
	p.quiet()
	if e, ok := errors.AsType[*client.Error](failure); ok && p.raw && !p.failed {
		return writeLine(p.out, map[string]any{"type": "error", "sequence": 1, "content": map[string]any{"code": e.Code, "message": e.Detail}})
	}
	var err error
	if !p.raw && p.last != 0 && p.last != '\n' {
		_, err = io.WriteString(p.out, "\n")
	}
	if p.cost != "" {
		_, costErr := fmt.Fprintln(p.err, p.cost)
		err = errors.Join(err, costErr)
	}
	return err
}

// costOf is what a turn that is done has cost, as far as it is wanted.
func (p *printer) costOf(e client.Event) string {
	var done struct {
		DurationMS int64 `json:"duration_ms"`
		TokenUsage struct {
			Input  int64 `json:"input_tokens"`
			Output int64 `json:"output_tokens"`
		} `json:"token_usage"`
	}
	if err := json.Unmarshal(e.Content, &done); err != nil {
		return ""
	}
	var parts []string
	if p.tokens {
		parts = append(parts, fmt.Sprintf("%d tokens in, %d out", done.TokenUsage.Input, done.TokenUsage.Output))
	}
	if p.timing {
		parts = append(parts, fmt.Sprintf("%.1fs", (time.Duration(done.DurationMS)*time.Millisecond).Seconds()))
	}
	return strings.Join(parts, ", ")
}

func textOf(e client.Event) string {
	var m struct{ Text string }
	_ = json.Unmarshal(e.Content, &m) // anything else has no text
	return m.Text
}

// summary is one line about what a backend does.
func summary(e client.Event) string {
	var c struct {
		Text, Name, Output string
		Input              json.RawMessage
	}
	_ = json.Unmarshal(e.Content, &c) // what cannot be read is not shown
	return strings.TrimSpace(strings.Join([]string{c.Name, string(c.Input), c.Text, c.Output}, " "))
}

// failure is the error that an event tells.
func failure(e client.Event) error {
	var f struct {
		Code, Message string
		ExitCode      *int   `json:"exit_code"`
		StderrTail    string `json:"stderr_tail"`
	}
	if err := json.Unmarshal(e.Content, &f); err != nil {
		return fmt.Errorf("the server's error cannot be read: %w", err)
	}
	return &client.Error{Code: f.Code, Detail: f.Message, ExitCode: f.ExitCode, StderrTail: f.StderrTail}
}

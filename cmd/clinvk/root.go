package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// streams are the three standard ones.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, args []string, s streams) int {
	root := &cobra.Command{
		Short:         "One local server for the AI CLIs you have",
		Long:          "clinvk turns the AI CLIs on this machine (Claude Code, Codex, Gemini CLI) into one local\nserver that speaks REST, OpenAI's and Anthropic's API.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
	}
	addPrompt(root, s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.AddCommand(newServe(s), newParallel(s), newChain(s), newCompare(s), newResume(s), newSessions(s), newBackends(s), newDoctor(s), newConfig(s), newPlugin(s), newChaos(s), newChaosPlugin(), newVersion(s), newMan())
	completions(root)
	for _, cmd := range root.Commands() {
		completions(cmd)
	}
	explain(root)
	if err := root.ExecuteContext(ctx); err != nil {
		text := err.Error()
		if hasCode(err, "model_not_found") && !strings.Contains(text, ";") { // nothing is near
			text += "; clinvk backends lists those that there are"
		}
		_, _ = fmt.Fprintln(s.err, "clinvk:", text)
		return exitCode(err)
	}
	return 0
}

// explain has mistakes in the arguments of a command, and of those below it, say how it
// is used.
func explain(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return fmt.Errorf("%w; it is used so: %s", err, cmd.UseLine())
			}
			return nil
		}
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists the flags", err, cmd.CommandPath())
	})
	for _, c := range cmd.Commands() {
		explain(c)
	}
}

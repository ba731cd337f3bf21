package main

import (
	"context"
	"fmt"
	"io"

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
	if err := root.ExecuteContext(ctx); err != nil {
		_, _ = fmt.Fprintln(s.err, "clinvk:", err)
		return exitCode(err)
	}
	return 0
}

package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

// completeWith completes the values of a flag.
func completeWith(cmd *cobra.Command, flag string, complete func(ctx context.Context, typed string) []cobra.Completion) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return complete(cmd.Context(), typed), keepOrder
	})
	if err != nil { // the flag is not there: a mistake in the program
		panic(err)
	}
}

// keepOrder shows the newest sessions first.
const keepOrder = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder

// firstSession completes the first argument with sessions.
func firstSession(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeSessions(cmd.Context(), typed), keepOrder
}

// everySession completes each argument with sessions.
func everySession(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return completeSessions(cmd.Context(), typed), keepOrder
}

// completeSessions are the ids of the newest sessions with their titles.
func completeSessions(ctx context.Context, typed string) (out []cobra.Completion) {
	ctx, cancel := context.WithTimeout(ctx, completeTime)
	defer cancel()
	c, err := connectOptions{}.records(ctx, streams{})
	if err != nil {
		return nil
	}
	defer func() { _ = c.Close() }() // what was found is good all the same
	page, err := listSessions(ctx, c.Client, sessionFilter{})
	if err != nil {
		return nil
	}
	for _, i := range page.Sessions {
		id := i.short()
		if len(typed) > len(id) {
			id = i.ID
		}
		if strings.HasPrefix(id, typed) {
			out = append(out, cobra.CompletionWithDesc(id, printable(i.Backend+": "+i.Title)))
		}
	}
	return out
}

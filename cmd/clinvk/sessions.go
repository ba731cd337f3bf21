package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
)

func newSessions(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"session"},
		Short:   "List, show, label and delete kept conversations",
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(newSessionsList(s), newSessionsShow(s), newSessionsRename(s), newSessionsTag(s), newSessionsDelete(s), newSessionsClean(s))
	for _, c := range cmd.Commands() {
		completions(c)
	}
	return cmd
}

// sessionsListOptions are the flags of sessions list.
type sessionsListOptions struct {
	connectOptions
	sessionFilter
	here, json bool
}

func newSessionsList(s streams) *cobra.Command {
	var o sessionsListOptions
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the sessions, the newest first",
		Example: "  clinvk sessions list --here\n  clinvk sessions list -q \"race condition\" --backend claude",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.backend, "backend", "b", "", "only those of this backend")
	f.StringVar(&o.status, "status", "", "only those with this status: active or error")
	f.StringVar(&o.tag, "tag", "", "only those with this tag")
	f.StringVarP(&o.query, "search", "q", "", "only those that hold these words")
	f.BoolVar(&o.here, "here", false, "only those of this directory")
	f.IntVarP(&o.limit, "limit", "n", 0, "how many at most, up to 1000 (default 100)")
	f.IntVar(&o.offset, "offset", 0, "how many to skip")
	f.BoolVar(&o.json, "json", false, "print the answer of GET /api/v1/sessions")
	o.flags(cmd)
	return cmd
}

func (o sessionsListOptions) run(ctx context.Context, s streams) (err error) {
	if o.here {
		if o.workdir, err = here(); err != nil {
			return err
		}
	}
	c, err := o.records(ctx, s)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	var raw json.RawMessage
	if err := c.Get(ctx, o.path(), &raw); err != nil {
		return err
	}
	if o.json {
		return writeJSON(s.out, raw)
	}
	var page sessionPage
	if err := json.Unmarshal(raw, &page); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	return printSessions(terminalOf(s.out), terminalOf(s.err), page, o.offset)
}

// printSessions prints a page of the list; what there is besides goes to a terminal.
func printSessions(out, note terminal, page sessionPage, offset int) error {
	if len(page.Sessions) == 0 {
		text := "there is no session; clinvk PROMPT begins one"
		if page.Total > 0 {
			text = fmt.Sprintf("there is no session after the first %d", page.Total)
		}
		_, err := fmt.Fprintln(note, text)
		return err
	}
	rows := [][]string{{"ID", "LAST TURN", "BACKEND", "TURNS", "STATUS", "TITLE", "DIRECTORY"}}
	for _, i := range page.Sessions {
		id, dir, when := i.ID, i.Workdir, i.UpdatedAt.Format(time.RFC3339)
		if out.tty {
			id, dir, when = i.short(), tilde(i.Workdir), age(i.UpdatedAt, time.Now())
		}
		rows = append(rows, []string{printable(id), when, printable(i.Backend), fmt.Sprint(i.Turns), printable(i.Status), printable(i.Title), printable(dir)})
	}
	width := 0
	if out.tty {
		width = out.width()
	}
	lines := fitted(width, rows, elastic{column: 5}, elastic{column: 6, tail: true})
	lines[0] = out.bold(lines[0])
	if _, err := fmt.Fprintln(out, strings.Join(lines, "\n")); err != nil {
		return err
	}
	if shown := offset + len(page.Sessions); note.tty && shown < page.Total {
		_, err := fmt.Fprintln(note, note.dim(fmt.Sprintf("%d of %d; the next ones: --offset %d", len(page.Sessions), page.Total, shown)))
		return err
	}
	return nil
}

// labelOptions are the flags of verbs that change a session.
type labelOptions struct {
	connectOptions
	remove []string
}

func newSessionsRename(s streams) *cobra.Command {
	var o labelOptions
	cmd := &cobra.Command{
		Use:   "rename ID TITLE",
		Short: "Give a session another title",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.change(cmd.Context(), args[0], s, func(*sessionInfo) map[string]any { return map[string]any{"title": args[1]} })
		},
		ValidArgsFunction: firstSession,
	}
	o.flags(cmd)
	return cmd
}

func newSessionsTag(s streams) *cobra.Command {
	var o labelOptions
	cmd := &cobra.Command{
		Use:     "tag ID [TAG]…",
		Short:   "Put tags on a session, or take them off",
		Example: "  clinvk sessions tag 3f2a9c01 work review\n  clinvk sessions tag 3f2a9c01 --remove review",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.change(cmd.Context(), args[0], s, func(i *sessionInfo) map[string]any {
				return map[string]any{"tags": retagged(i.Tags, args[1:], o.remove)}
			})
		},
		ValidArgsFunction: firstSession,
	}
	cmd.Flags().StringArrayVar(&o.remove, "remove", nil, "tag to take off; may be repeated")
	o.flags(cmd)
	return cmd
}

// change changes a session and prints what is changed of it.
func (o labelOptions) change(ctx context.Context, id string, s streams, what func(*sessionInfo) map[string]any) (err error) {
	c, err := o.records(ctx, s)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	old, err := findSession(ctx, c.Client, id)
	if err != nil {
		return err
	}
	var now sessionInfo
	if err := c.Patch(ctx, sessionPath(old.ID), what(old), &now); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s  %s  %s\n", now.short(), printable(now.Title), printable(strings.Join(now.Tags, ", ")))
	return err
}

// retagged is a list of tags with some more, and without others.
func retagged(tags, more, gone []string) []string {
	out := []string{}
	for _, tag := range slices.Concat(tags, more) {
		if !slices.Contains(out, tag) && !slices.Contains(gone, tag) {
			out = append(out, tag)
		}
	}
	return out
}

// eachSession hands all pages of a list to each.
func eachSession(ctx context.Context, c *client.Client, f sessionFilter, each func(sessionInfo)) error {
	f.limit = maxPage
	for {
		page, err := listSessions(ctx, c, f)
		if err != nil {
			return err
		}
		for _, i := range page.Sessions {
			each(i)
		}
		if f.offset += len(page.Sessions); len(page.Sessions) == 0 || f.offset >= page.Total {
			return nil
		}
	}
}

// maxPage is what the server gives at once.
const maxPage = 1000

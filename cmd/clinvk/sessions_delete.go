package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// sessionsDeleteOptions are the flags of verbs that delete sessions.
type sessionsDeleteOptions struct {
	connectOptions
	yes bool
}

func (o *sessionsDeleteOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask (without a terminal nothing is asked)")
	o.connectOptions.flags(cmd)
}

func newSessionsDelete(s streams) *cobra.Command {
	var o sessionsDeleteOptions
	cmd := &cobra.Command{
		Use:     "delete ID…",
		Aliases: []string{"rm"},
		Short:   "Delete sessions, and what the backend's CLI kept of them",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), s, func(ctx context.Context, c *client.Client) ([]sessionInfo, error) {
				return findAll(ctx, c, args)
			})
		},
		ValidArgsFunction: everySession,
	}
	o.flags(cmd)
	return cmd
}

// findAll finds sessions by ids or their beginnings; all, or none.
func findAll(ctx context.Context, c *client.Client, ids []string) (out []sessionInfo, err error) {
	for _, id := range ids {
		i, err := findSession(ctx, c, id)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o sessionInfo) bool { return o.ID == i.ID }) {
			out = append(out, *i)
		}
	}
	return out, nil
}

// run finds sessions, asks, and deletes them.
func (o sessionsDeleteOptions) run(ctx context.Context, s streams, find func(context.Context, *client.Client) ([]sessionInfo, error)) (err error) {
	c, err := o.records(ctx, s)
	if err != nil {
		return err
	}
	defer func() { closing(c, &err) }()
	sessions, err := find(ctx, c.Client)
	if err != nil {
		return err
	}
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(s.err, "there is no session to delete")
		return err
	}
	if ok, err := o.confirm(sessions, s); err != nil || !ok {
		return err
	}
	if c.bare { // the backends are to delete their parts
		if err := c.Close(); err != nil {
			return err
		}
		if c, err = o.connect(ctx, s, func(*config.Config) []string { return backendsOf(sessions) }); err != nil {
			return err
		}
	}
	return deleteAll(ctx, c.Client, sessions, s)
}

func backendsOf(sessions []sessionInfo) (out []string) {
	for _, i := range sessions {
		if !slices.Contains(out, i.Backend) {
			out = append(out, i.Backend)
		}
	}
	return out
}

// deleteAll deletes sessions; one that cannot be deleted does not keep the others.
func deleteAll(ctx context.Context, c *client.Client, sessions []sessionInfo, s streams) error {
	var failed error
	for _, i := range sessions {
		if err := c.Delete(ctx, sessionPath(i.ID)); err != nil {
			failed = errors.Join(failed, err)
			if ctx.Err() != nil {
				return failed
			}
			continue
		}
		if _, err := fmt.Fprintf(s.out, "deleted %s  %s\n", i.ID, printable(i.Title)); err != nil {
			return err
		}
	}
	return failed
}

// confirm asks on a terminal whether the sessions may be deleted.
func (o sessionsDeleteOptions) confirm(sessions []sessionInfo, s streams) (bool, error) {
	in, ok := s.in.(*os.File)
	note := terminalOf(s.err)
	if o.yes || !ok || !terminalOf(in).tty || !note.tty {
		return true, nil
	}
	if err := printSessions(note, terminal{}, sessionPage{Sessions: sessions, Total: len(sessions)}, 0); err != nil {
		return false, err
	}
	what := "this session"
	if n := len(sessions); n > 1 {
		what = fmt.Sprintf("these %d sessions", n)
	}
	if _, err := fmt.Fprintf(note, "Delete %s? [y/N] ", what); err != nil {
		return false, err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil { // the end of the input is no
		return false, nil //nolint:nilerr // as said
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// sessionsCleanOptions are the flags of sessions clean.
type sessionsCleanOptions struct {
	sessionsDeleteOptions
	sessionFilter
	olderThan string
	dryRun    bool
}

func newSessionsClean(s streams) *cobra.Command {
	var o sessionsCleanOptions
	cmd := &cobra.Command{
		Use:     "clean",
		Short:   "Delete the sessions that had no turn for some time, or that failed",
		Example: "  clinvk sessions clean --older-than 30d --dry-run\n  clinvk sessions clean --status error --older-than 1d",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.clean(cmd.Context(), s)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.olderThan, "older-than", "", "only those without a turn for so long: 30d, 2w, 12h")
	f.StringVarP(&o.backend, "backend", "b", "", "only those of this backend")
	f.StringVar(&o.status, "status", "", "only those with this status: active or error")
	f.StringVar(&o.tag, "tag", "", "only those with this tag")
	f.BoolVar(&o.dryRun, "dry-run", false, "only list them")
	o.flags(cmd)
	return cmd
}

func (o sessionsCleanOptions) clean(ctx context.Context, s streams) error {
	if o.sessionFilter == (sessionFilter{}) && o.olderThan == "" {
		return errors.New("say which sessions go: --older-than 30d, --status, --backend or --tag (all: --older-than 0d)")
	}
	before := time.Now()
	if o.olderThan != "" {
		d, err := parseAge(o.olderThan)
		if err != nil {
			return err
		}
		before = before.Add(-d)
	}
	find := func(ctx context.Context, c *client.Client) (out []sessionInfo, err error) {
		err = eachSession(ctx, c, o.sessionFilter, func(i sessionInfo) {
			if i.UpdatedAt.Before(before) {
				out = append(out, i)
			}
		})
		return out, err
	}
	if !o.dryRun {
		return o.run(ctx, s, find)
	}
	return o.list(ctx, s, find)
}

// list shows what would be deleted.
func (o sessionsCleanOptions) list(ctx context.Context, s streams, find func(context.Context, *client.Client) ([]sessionInfo, error)) (err error) {
	c, err := o.records(ctx, s)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	sessions, err := find(ctx, c.Client)
	if err != nil {
		return err
	}
	if len(sessions) == 0 {
		_, err := fmt.Fprintln(s.err, "there is no session to delete")
		return err
	}
	return printSessions(terminalOf(s.out), terminalOf(s.err), sessionPage{Sessions: sessions, Total: len(sessions)}, 0)
}

// parseAge reads a length of time: days (30d) and weeks (2w) too.
func parseAge(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	unit := map[byte]time.Duration{'d': day, 'w': 7 * day}
	if text != "" && unit[text[len(text)-1]] > 0 {
		const most = 36500 // a century is long enough, and no overflow
		if n, err := strconv.Atoi(text[:len(text)-1]); err == nil && n >= 0 && n <= most {
			return time.Duration(n) * unit[text[len(text)-1]], nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("--older-than is %q; it must be a length of time such as 30d, 2w or 12h", text)
}

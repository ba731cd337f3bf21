package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
)

// keepOptions are the flags that say in which session a prompt belongs.
type keepOptions struct {
	session         string
	last, fork, new bool
	title           string
	tags            []string
}

// labels are those of the session, also of a new one.
func (o *keepOptions) labels(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.fork, "fork", false, "branch the session: it stays as it is, and a copy of it goes on")
	f.StringVar(&o.title, "title", "", "title of the session (default: how the first prompt begins)")
	f.StringArrayVar(&o.tags, "tag", nil, "tag of the session, besides those that it has; may be repeated")
}

func (o *keepOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.last, "continue", "c", false, "continue the last session of this directory, and of the backend that -b names")
	f.StringVar(&o.session, "session", "", "continue the session with this id, or the only one that begins so")
	f.BoolVar(&o.new, "new", false, "begin a new session, also when session.auto_resume is on")
	o.labels(cmd)
	cmd.MarkFlagsMutuallyExclusive("continue", "session", "ephemeral", "new")
	cmd.MarkFlagsMutuallyExclusive("fork", "ephemeral")
	completeWith(cmd, "session", completeSessions)
}

// check finds what contradicts itself.
func (o *keepOptions) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case o.fork && !o.last && !given("session"):
		return errors.New("--fork branches a session: say which one with --session or --continue")
	case given("session") && o.session == "":
		return sessionError{errors.New("--session needs an id; clinvk sessions list shows them")}
	}
	return nil
}

// goesOn says whether an earlier session is continued.
func (o *keepOptions) goesOn() bool { return o.last || o.session != "" }

// describe adds the labels to a request.
func (o *keepOptions) describe(q map[string]any) {
	if o.title != "" {
		q["title"] = o.title
	}
	if len(o.tags) > 0 {
		q["tags"] = o.tags
	}
}

// enter connects, and has q go on with the session that the flags name.
func (o promptOptions) enter(ctx context.Context, s streams, q map[string]any) (*connection, error) {
	o.describe(q)
	if !o.goesOn() {
		c, err := o.connect(ctx, s, only(o.backend, o.model))
		if err != nil || o.new || o.ephemeral || c.settings.Session.AutoResume == nil || !*c.settings.Session.AutoResume {
			return c, err
		}
		return c, o.resumeLast(ctx, c, q)
	}
	c, session, err := o.connectTo(ctx, s, func(ctx context.Context, c *client.Client) (*sessionInfo, error) {
		if o.session != "" {
			return findSession(ctx, c, o.session)
		}
		dir, _ := q["workdir"].(string)
		return lastSession(ctx, c, sessionFilter{backend: o.backend, workdir: dir})
	})
	if err != nil {
		return nil, err
	}
	o.join(q, session.ID)
	return c, nil
}

// resumeLast goes on with the last session of this directory and backend, if there is
// one (session.auto_resume).
func (o promptOptions) resumeLast(ctx context.Context, c *connection, q map[string]any) error {
	dir, _ := q["workdir"].(string)
	page, err := listSessions(ctx, c.Client, sessionFilter{backend: cmp.Or(o.backend, c.settings.DefaultBackend), workdir: dir, limit: 1})
	if err != nil {
		return errors.Join(err, c.close())
	}
	if len(page.Sessions) == 1 {
		o.join(q, page.Sessions[0].ID)
	}
	return nil
}

// join has a request continue a session, in the session's directory unless another one
// was asked for.
func (o promptOptions) join(q map[string]any, id string) {
	q["session_id"] = id
	if o.fork {
		q["fork"] = true
	}
	if o.workdir == "" {
		delete(q, "workdir")
	}
}

// tell says on a terminal which session it was.
func (t terminal) tell(session string) error {
	if !t.tty || session == "" {
		return nil
	}
	short := sessionInfo{ID: session}.short()
	_, err := fmt.Fprintln(t, t.dim(fmt.Sprintf("session %s (clinvk resume %[1]s)", short)))
	return err
}

// bold is text of a heading.
func (t terminal) bold(text string) string {
	if !t.colour() {
		return text
	}
	return lipgloss.NewStyle().Bold(true).Render(text)
}

// dim is text that is less important.
func (t terminal) dim(text string) string {
	if !t.colour() {
		return text
	}
	return lipgloss.NewStyle().Faint(true).Render(text)
}

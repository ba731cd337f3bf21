package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/clinvk/clinvk/host/client"
)

// resumeOptions are the flags of resume.
type resumeOptions struct {
	promptOptions
	id                string
	here, interactive bool
}

func newResume(s streams) *cobra.Command {
	var o resumeOptions
	cmd := &cobra.Command{
		Use:   "resume [ID] [PROMPT]",
		Short: "Go on with a kept conversation",
		Long: `Go on with a kept conversation: with one prompt, or, on a terminal without a prompt, with as
many as you like. ID is the session's, or as much of its beginning as no other one has. Without
it a terminal shows a list to choose from. -b hands the conversation over to another backend.`,
		Example: "  clinvk resume\n  clinvk resume 3f2a9c01 \"and the tests?\"\n  clinvk resume --last -b codex \"do you agree?\"",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !o.last && len(args) > 0 {
				o.id, args = args[0], args[1:]
				if o.id == "" {
					return sessionError{errors.New("the id of the session is empty; clinvk sessions list shows the ids")}
				}
			}
			o.outputSet = cmd.Flags().Changed("output")
			return o.run(cmd.Context(), args, s)
		},
		ValidArgsFunction: firstSession,
	}
	f := cmd.Flags()
	f.BoolVar(&o.last, "last", false, "the newest session; then the argument is the prompt")
	f.BoolVar(&o.here, "here", false, "only sessions of this directory, for --last and the list")
	f.BoolVarP(&o.interactive, "interactive", "i", false, "ask for prompts on the terminal until Ctrl-D")
	f.StringVarP(&o.backend, "backend", "b", "", "hand the conversation over to this backend")
	f.StringVarP(&o.output, "output", "o", outputText, "text, json or stream-json (default: output.format of the configuration)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show on stderr what the backend thinks and does")
	o.labels(cmd)
	o.turnOptions.flags(cmd)
	if err := f.MarkHidden("ephemeral"); err != nil { // the flag is there
		panic(err)
	}
	o.connectOptions.flags(cmd)
	return cmd
}

func (o resumeOptions) run(ctx context.Context, args []string, s streams) error {
	if err := checkForm(o.output); err != nil {
		return err
	}
	if o.ephemeral {
		return errors.New("--ephemeral keeps no session, so none can be resumed with it")
	}
	if o.here && o.id != "" {
		return errors.New("--here chooses among sessions, and an id names one: leave one of them out")
	}
	if o.interactive && !s.interactive() {
		return errors.New("-i needs a terminal; give the prompt as argument or on stdin")
	}
	prompt, err := readPrompt(ctx, args, s)
	if err != nil {
		return err
	}
	if prompt == "" {
		if !s.interactive() {
			return errNoPrompt
		}
		o.interactive = true
	}
	if o.interactive {
		if o.output != outputText {
			return fmt.Errorf("a conversation on the terminal is text; for --output %s give a prompt, and no -i", o.output)
		}
		return o.converse(ctx, prompt, s)
	}
	return o.once(ctx, prompt, s)
}

// once goes on with one prompt.
func (o resumeOptions) once(ctx context.Context, prompt string, s streams) (err error) {
	c, session, err := o.connectTo(ctx, s, o.chooser(s))
	if err != nil {
		return err
	}
	defer closing(c, &err)
	o.settle(c.settings)
	q, err := o.next(prompt, session.ID)
	if err != nil {
		return err
	}
	stop := terminalOf(s.err).spin(o.waiting())
	defer func() { stop() }()
	id, err := o.ask(ctx, c, q, stop, s)
	if err == nil && o.output == outputText {
		err = terminalOf(s.err).tell(id)
	}
	return err
}

// next is the request for the next prompt of a session.
func (o resumeOptions) next(prompt, session string) (map[string]any, error) {
	q, err := o.request(prompt)
	if err != nil {
		return nil, err
	}
	o.describe(q)
	o.join(q, session)
	return q, nil
}

// chooser finds the session that arguments and flags name, or asks.
func (o resumeOptions) chooser(s streams) choose {
	return func(ctx context.Context, c *client.Client) (*sessionInfo, error) {
		if o.id != "" {
			return findSession(ctx, c, o.id)
		}
		var f sessionFilter
		if o.here {
			dir, err := here()
			if err != nil {
				return nil, err
			}
			f.workdir = dir
		}
		if o.last {
			return lastSession(ctx, c, f)
		}
		if !s.interactive() {
			return nil, sessionError{errors.New("which session? Give its id, which clinvk sessions list shows, or --last; a terminal would show a list")}
		}
		page, err := listSessions(ctx, c, f)
		if err != nil {
			return nil, err
		}
		if len(page.Sessions) == 0 {
			return lastSession(ctx, c, f) // which says that there is none
		}
		return pick(ctx, page.Sessions, s)
	}
}

// interactive says whether somebody sits there who can be asked.
func (s streams) interactive() bool {
	in, ok := s.in.(*os.File)
	return ok && terminalOf(in).tty && terminalOf(s.err).tty
}

// here is the directory that the command was started in.
func here() (string, error) {
	dir, err := filepath.Abs("")
	if err != nil {
		return "", fmt.Errorf("the working directory: %w", err)
	}
	return dir, nil
}

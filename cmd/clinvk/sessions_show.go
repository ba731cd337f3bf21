package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// sessionTurn is a question and its answer, as the server tells them.
type sessionTurn struct {
	Turn         int            `json:"turn"`
	Backend      string         `json:"backend"`
	Model        string         `json:"model"`
	CreatedAt    time.Time      `json:"created_at"`
	FinishReason string         `json:"finish_reason"`
	User         []saidMessage  `json:"user"`
	Assistant    []saidFragment `json:"assistant"`
}

type saidMessage struct {
	Role    string         `json:"role"`
	Content []saidFragment `json:"content"`
}

// saidFragment is a part of a message.
type saidFragment struct {
	Type      string         `json:"type"`
	Text      string         `json:"text"`
	Name      string         `json:"name"`
	MediaType string         `json:"media_type"`
	Arguments string         `json:"arguments"`
	Content   []saidFragment `json:"content"`
}

func newSessionsShow(s streams) *cobra.Command {
	var o connectOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a session with its transcript",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showSession(cmd.Context(), o, args[0], asJSON, s)
		},
		ValidArgsFunction: firstSession,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the answer of GET /api/v1/sessions/{id}")
	o.flags(cmd)
	return cmd
}

func showSession(ctx context.Context, o connectOptions, id string, asJSON bool, s streams) (err error) {
	c, err := o.records(ctx, s)
	if err != nil {
		return err
	}
	defer closing(c, &err)
	raw, err := rawSession(ctx, c.Client, id)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(s.out, raw)
	}
	var info sessionInfo
	if err := json.Unmarshal(raw, &info); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	out := terminalOf(s.out)
	if err := out.facts(info); err != nil {
		return err
	}
	return out.transcript(info.Transcript)
}

// facts prints what is known of a session besides its transcript.
func (t terminal) facts(i sessionInfo) error {
	when := func(at time.Time) string { return at.Local().Format("2006-01-02 15:04") }
	rows := [][]string{
		{"session", i.ID}, {"title", i.Title}, {"branch of", i.ParentID}, {"backend", i.Backend}, {"model", i.Model}, {"mode", i.Mode},
		{"directory", i.Workdir}, {"status", i.Status}, {"tags", strings.Join(i.Tags, ", ")},
		{"turns", fmt.Sprint(i.Turns)}, {"tokens", fmt.Sprintf("%d in, %d out", i.TokenUsage.InputTokens, i.TokenUsage.OutputTokens)},
		{"began", when(i.CreatedAt)}, {"last turn", when(i.UpdatedAt)},
	}
	for _, row := range rows {
		if row[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(t, "%s %s\n", t.dim(fmt.Sprintf("%-10s", row[0])), printable(row[1])); err != nil {
			return err
		}
	}
	return nil
}

// transcript prints turns, each below a line that says whose it is.
func (t terminal) transcript(turns []sessionTurn) error {
	for _, turn := range turns {
		head := fmt.Sprintf("── %d  %s  %s ", turn.Turn, printable(turn.Backend), turn.CreatedAt.Local().Format("2006-01-02 15:04"))
		if turn.FinishReason != "stop" {
			head += printable(turn.FinishReason) + " "
		}
		if _, err := fmt.Fprintf(t, "\n%s\n", t.bold(ruled(head, t.width()))); err != nil {
			return err
		}
		for _, m := range turn.User {
			mark := "> "
			if m.Role == "assistant" {
				mark = ""
			}
			if err := t.fragments(mark, m.Content); err != nil {
				return err
			}
		}
		if err := t.fragments("", turn.Assistant); err != nil {
			return err
		}
	}
	return nil
}

// fragments prints what was said, each line of text after the mark, and in one dim
// line each what tools did.
func (t terminal) fragments(mark string, said []saidFragment) error {
	for _, f := range said {
		text := strings.TrimRight(t.shown(f.Text), "\n")
		if f.Type != "text" {
			text = t.dim("  " + t.oneLine(f))
		} else if mark != "" {
			text = mark + strings.ReplaceAll(text, "\n", "\n"+mark)
		}
		if _, err := io.WriteString(t, text+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// oneLine says what a fragment is that is no text.
func (t terminal) oneLine(f saidFragment) string {
	words := []string{"[" + f.Type + "]", f.Name, f.MediaType, f.Arguments, f.Text}
	for _, c := range f.Content {
		words = append(words, c.Text)
	}
	const indent = 2
	line := printable(strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	return fitted(t.width()-indent, [][]string{{line}})[0]
}

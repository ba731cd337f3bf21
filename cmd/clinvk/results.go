package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/clinvk/clinvk/host/client"
)

// answer is what the server answers to any of these verbs.
type answer struct {
	Results []answerResult `json:"results"`
}

type answerResult struct {
	Index      int    `json:"index"`
	Step       int    `json:"step"`
	TaskID     string `json:"task_id"`
	TaskName   string `json:"task_name"`
	Name       string `json:"name"`
	Backend    string `json:"backend"`
	Model      string `json:"model"`
	DurationMS int64  `json:"duration_ms"`
	Output     string `json:"output"`
	// FinishReason is empty when the turn failed.
	FinishReason string `json:"finish_reason"`
	Error        *struct {
		Code     string `json:"code"`
		Message  string `json:"message"`
		ExitCode *int   `json:"exit_code"`
	} `json:"error"`
}

func readAnswer(text []byte) (a answer, err error) {
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	return a, nil
}

// print shows the results one after another, each below a line that says whose it is.
func (o severalOptions) print(a answer, total int, out terminal) error {
	head := lipgloss.NewStyle()
	bad := lipgloss.NewStyle()
	if out.colour() {
		head, bad = head.Bold(true), bad.Foreground(lipgloss.Red)
	}
	var text strings.Builder
	for i, r := range a.Results {
		if i > 0 && !o.quiet {
			text.WriteByte('\n')
		}
		if !o.quiet {
			text.WriteString(head.Render(r.title(total, out.width())) + "\n")
		}
		if output := strings.TrimRight(out.shown(r.Output), "\n"); output != "" {
			text.WriteString(output + "\n")
		}
		if note := r.note(); note != "" {
			text.WriteString(bad.Render(note) + "\n")
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// note is the line below a result that is none, or not whole; empty: it is.
func (r answerResult) note() string {
	switch {
	case r.Error != nil:
		return "failed: " + printable(r.Error.Message)
	case r.FinishReason == "interrupted":
		return "interrupted"
	}
	return ""
}

// title is the line above a result, filled up to the width.
func (r answerResult) title(total, width int) string {
	place := r.Step
	if place == 0 {
		place = r.Index + 1
	}
	t := fmt.Sprintf("── %d/%d  %s", place, total, r.Backend)
	for _, name := range []string{r.TaskName, r.TaskID, r.Name} {
		if name != "" {
			t += "  " + printable(name)
			break
		}
	}
	t += fmt.Sprintf("  %.1fs ", (time.Duration(r.DurationMS) * time.Millisecond).Seconds())
	return ruled(t, width)
}

// ruled is a title, filled up to the width with a line.
func ruled(title string, width int) string {
	return title + strings.Repeat("─", max(0, width-lipgloss.Width(title)))
}

// failure is the error of the first turn that failed; nil: all worked.
func (a answer) failure() error {
	failed := 0
	var first error
	for _, r := range a.Results {
		if r.Error == nil {
			continue
		}
		if failed++; first == nil && r.Error.Code != "cancelled" {
			first = &client.Error{Code: r.Error.Code, ExitCode: r.Error.ExitCode, Detail: fmt.Sprintf("%s: %s", r.Backend, printable(r.Error.Message))}
		}
	}
	switch {
	case failed == 0:
		return nil
	case first == nil:
		return context.Canceled
	case failed == 1:
		return first
	}
	return fmt.Errorf("%d failed; the first: %w", failed, first)
}

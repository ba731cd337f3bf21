package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
)

// plan is what would become of a prompt.
type plan struct {
	TaskID       string   `json:"task_id"`
	TaskName     string   `json:"task_name"`
	Name         string   `json:"name"`
	Prompt       string   `json:"prompt"`
	Backend      string   `json:"backend"`
	Model        string   `json:"model"`
	Mode         string   `json:"mode"`
	Workdir      string   `json:"workdir"`
	ApprovalMode string   `json:"approval_mode"`
	SandboxMode  string   `json:"sandbox_mode"`
	Ignored      []string `json:"ignored"`
	CommandLine  []string `json:"command_line"`
	Environment  []string `json:"environment"`
	WorkingDir   *string  `json:"working_dir"`
	Note         string   `json:"note"`
	Error        *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// printPlans shows the answer of a dry run, of one prompt or several.
func printPlans(out terminal, answer json.RawMessage) error {
	var several struct{ Results []plan }
	if err := json.Unmarshal(answer, &several); err != nil {
		return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	if several.Results == nil {
		several.Results = make([]plan, 1)
		if err := json.Unmarshal(answer, &several.Results[0]); err != nil {
			return fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, p := range several.Results {
		if i > 0 {
			_, _ = fmt.Fprintln(w) // Flush tells of what went wrong
		}
		for _, line := range p.lines() {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	return w.Flush()
}

// lines are the names and values of what there is to say.
func (p plan) lines() (out [][2]string) {
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	for _, name := range []string{p.TaskName, p.TaskID, p.Name} {
		add("name", name)
	}
	add("prompt", firstLine(p.Prompt))
	add("backend", p.Backend)
	if p.Model == "" && p.Error == nil {
		p.Model = "(the CLI chooses)"
	}
	add("model", p.Model)
	add("mode", p.Mode)
	add("workdir", p.Workdir)
	add("approval", p.ApprovalMode)
	add("sandbox", p.SandboxMode)
	add("ignored", strings.Join(p.Ignored, ", "))
	if p.CommandLine != nil {
		add("command", commandLine(p.CommandLine))
	}
	add("environment", strings.Join(p.Environment, " "))
	if p.WorkingDir != nil {
		if *p.WorkingDir == "" {
			*p.WorkingDir = "(a private directory)"
		}
		add("runs in", *p.WorkingDir)
	}
	add("note", p.Note)
	if p.Error != nil {
		add("refused", p.Error.Message)
	}
	return out
}

// firstLine is a text's beginning.
func firstLine(text string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	const most = 80
	if runes := []rune(first); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	if rest != "" {
		return first + " …"
	}
	return first
}

// commandLine quotes arguments for a shell.
func commandLine(arguments []string) string {
	quoted := make([]string, len(arguments))
	for i, a := range arguments {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}

// plain are the characters that no shell takes for more than they are.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%"

func quote(a string) string {
	if a != "" && strings.Trim(a, plain) == "" {
		return a
	}
	return "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
}

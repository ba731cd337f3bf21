package rest

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
)

// Previewer says what would become of a turn.
type Previewer interface {
	Preview(ctx context.Context, t *engine.Turn) (*engine.Preview, error)
}

// preview is what would become of a prompt.
type preview struct {
	DryRun  bool   `json:"dry_run"`
	Prompt  string `json:"prompt"`
	Backend string `json:"backend"`
	Model   string `json:"model"` // empty: the CLI's own choice
	Mode    string `json:"mode"`
	// The next three are those of an agent.
	Workdir      string   `json:"workdir,omitempty"`
	ApprovalMode string   `json:"approval_mode,omitempty"`
	SandboxMode  string   `json:"sandbox_mode,omitempty"`
	Ignored      []string `json:"ignored"`
	// The next three are null when the plugin cannot tell; then Note says so.
	CommandLine []string `json:"command_line"`
	Environment []string `json:"environment"`
	WorkingDir  *string  `json:"working_dir"` // empty: a private one
	Note        string   `json:"note,omitempty"`
}

// planned is what would become of one of several prompts. Members of the other verbs
// are left out.
type planned struct {
	Index    *int   `json:"index,omitempty"`
	TaskID   string `json:"task_id,omitempty"`
	TaskName string `json:"task_name,omitempty"`
	Step     int    `json:"step,omitempty"`
	Name     string `json:"name,omitempty"`
	*preview
	Error *failure `json:"error"`
}

// dryAnswer is what the verbs that run several prompts answer instead of running them.
type dryAnswer struct {
	DryRun  bool      `json:"dry_run"`
	Results []planned `json:"results"`
}

func previewOf(prompt string, p *engine.Preview) *preview {
	out := &preview{
		DryRun: true, Prompt: prompt, Backend: p.Backend, Model: p.Model, Mode: p.Mode.String(), Workdir: p.WorkingDir,
		Ignored: append([]string{}, ignoredFields(p.Ignored)...),
	}
	if p.Mode == engine.ModeAgent {
		const unset = "default"
		out.ApprovalMode, out.SandboxMode = cmp.Or(p.Approval.String(), unset), cmp.Or(p.Sandbox.String(), unset)
	}
	if c := p.Command; c != nil {
		out.CommandLine, out.Environment = append([]string{}, c.Line...), append([]string{}, c.Environment...)
		out.WorkingDir = &c.WorkingDir
	} else {
		out.Note = "the plugin of backend " + p.Backend + " does not tell how it runs its CLI"
	}
	return out
}

// dryPrompt answers what would become of a prompt.
func (d *Dialect) dryPrompt(w http.ResponseWriter, r *http.Request, p *prompt, t *engine.Turn) error {
	begin := time.Now()
	found, err := d.engine.Preview(r.Context(), t)
	if err != nil {
		return err
	}
	httpapi.BeginPreview(w, found, ignoredFields(found.Ignored), time.Since(begin))
	httpapi.WriteJSON(w, http.StatusOK, "application/json", previewOf(*p.Prompt, found))
	return nil
}

// dryRun answers what would become of turns; place says which one a result is of.
func (d *Dialect) dryRun(w http.ResponseWriter, r *http.Request, turns []*engine.Turn, place func(p *planned, index int)) error {
	out := dryAnswer{DryRun: true, Results: make([]planned, len(turns))}
	for i, t := range turns {
		result := &out.Results[i]
		place(result, i)
		found, err := d.engine.Preview(r.Context(), t)
		if err != nil {
			f := failureOf(engine.AsError(err))
			result.Error = &f
			result.preview = previewOf(promptOf(t), &engine.Preview{Backend: t.Backend, Model: t.Model, Mode: t.WantedMode()})
			result.Note = ""
			continue
		}
		result.preview = previewOf(promptOf(t), found)
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", out)
	return nil
}

// promptOf is the text of a prompt's turn, which comes last in the message.
func promptOf(t *engine.Turn) string {
	parts := t.Messages[len(t.Messages)-1].Parts
	text, _ := parts[len(parts)-1].(engine.Text)
	return string(text)
}

package rest

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// backend is what is told about a backend.
type backend struct {
	Name        string            `json:"name"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Available   bool              `json:"available"`
	State       string            `json:"state"`
	Message     string            `json:"message"`
	Remedy      string            `json:"remedy,omitempty"`
	Version     string            `json:"version"`
	CLIVersions map[string]string `json:"cli_versions"`
	Models      []model           `json:"models"`
	Modes       []string          `json:"modes"`
	Features    map[string]any    `json:"capabilities"`
	Limits      limits            `json:"limits"`
	Running     int               `json:"running"`
	Queued      int               `json:"queued"`
	PID         int               `json:"pid,omitempty"`
	Restarts    int               `json:"restarts"`
	Path        string            `json:"path,omitempty"`
	SHA256      string            `json:"sha256,omitempty"`
	Trust       string            `json:"trust,omitempty"`
	LastError   string            `json:"last_error,omitempty"`
	UpdateError string            `json:"update_error,omitempty"`
	MemoryMB    int64             `json:"memory_mb,omitempty"`
	Processes   int               `json:"processes,omitempty"`
	Pressure    string            `json:"pressure,omitempty"`
}

type model struct {
	ID              string `json:"id"`
	Title           string `json:"title"`
	Default         bool   `json:"default,omitempty"`
	ContextWindow   *int64 `json:"context_window,omitempty"`
	MaxOutputTokens *int64 `json:"max_output_tokens,omitempty"`
}

type limits struct {
	MaxConcurrent  int    `json:"max_concurrent"`
	MaxPromptBytes uint64 `json:"max_prompt_bytes,omitempty"`
	MaxBlobBytes   uint64 `json:"max_blob_bytes,omitempty"`
	MaxMemoryMB    int64  `json:"max_memory_mb,omitempty"`
	MaxProcesses   int    `json:"max_processes,omitempty"`
}

func (d *Dialect) backends(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) error {
	out := struct {
		Backends []backend `json:"backends"`
	}{[]backend{}}
	for _, info := range d.engine.Backends() {
		out.Backends = append(out.Backends, d.describe(info))
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", out)
	return nil
}

func (d *Dialect) backend(w http.ResponseWriter, _ *http.Request, p httprouter.Params) error {
	info, err := d.engine.Backend(p.ByName("name"))
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", d.describe(info))
	return nil
}

// restart starts a new process; the body of the request is of no interest.
func (d *Dialect) restart(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	info, err := d.engine.Restart(r.Context(), p.ByName("name"))
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", d.describe(info))
	return nil
}

func (d *Dialect) describe(info engine.BackendInfo) backend {
	desc := info.Describe
	b := backend{
		Name: info.Name, Title: desc.GetTitle(), Description: desc.GetDescription(), Version: desc.GetVersion(),
		Available: info.Available(), State: info.State, Message: info.Message(), Remedy: cmp.Or(info.Remedy, info.Health.GetRemedy()),
		CLIVersions: info.Health.GetVersions(), Models: []model{}, Modes: []string{},
		Limits: limits{
			MaxPromptBytes: desc.GetLimits().GetMaxPromptBytes(), MaxBlobBytes: desc.GetLimits().GetMaxBlobBytes(),
			MaxMemoryMB: info.MaxMemory >> 20, MaxProcesses: info.MaxProcesses,
		},
		MemoryMB: info.Memory >> 20, Processes: info.Processes, Pressure: info.Pressure,
		Features: features(desc.GetCapabilities()),
		PID:      info.PID, Restarts: info.Restarts, Path: info.Path, SHA256: info.SHA256, Trust: info.Trust,
		LastError: info.LastError, UpdateError: info.UpdateError,
	}
	if b.CLIVersions == nil {
		b.CLIVersions = map[string]string{}
	}
	b.Running, b.Queued, b.Limits.MaxConcurrent = d.engine.Load(info.Name)
	for _, m := range info.Models {
		b.Models = append(b.Models, model{
			ID: m.GetId(), Title: m.GetTitle(), Default: m.GetIsDefault(),
			ContextWindow: m.ContextWindow, MaxOutputTokens: m.MaxOutputTokens,
		})
	}
	if desc.GetCapabilities().GetChat() != nil {
		b.Modes = append(b.Modes, "chat")
	}
	if desc.GetCapabilities().GetAgent() != nil {
		b.Modes = append(b.Modes, "agent")
	}
	return b
}

// features are the capabilities in JSON's words.
func features(c *backendv1.Capabilities) map[string]any {
	f := map[string]any{
		"sessions":          c.GetSessions() != nil,
		"fork":              c.GetSessions().GetFork(),
		"client_tools":      c.GetClientTools() != nil,
		"forced_tool":       c.GetClientTools().GetForcedChoice(),
		"structured_output": c.GetStructuredOutput() != nil,
		"reasoning":         c.GetReasoning() != nil,
		"count_tokens":      c.GetCountTokens() != nil,
		"input_media_types": append([]string{}, c.GetInputMediaTypes()...),
		"sampling":          append([]string{}, c.GetChat().GetSampling()...),
	}
	if a := c.GetAgent(); a != nil {
		names := func(n int, at func(int) string, prefix string) []string {
			out := make([]string, 0, n)
			for i := range n {
				out = append(out, strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(at(i), prefix)), "_", "-"))
			}
			return out
		}
		approvals, sandboxes := a.GetApprovalModes(), a.GetSandboxModes()
		f["approval_modes"] = names(len(approvals), func(i int) string { return approvals[i].String() }, "APPROVAL_MODE_")
		f["sandbox_modes"] = names(len(sandboxes), func(i int) string { return sandboxes[i].String() }, "SANDBOX_MODE_")
	}
	return f
}

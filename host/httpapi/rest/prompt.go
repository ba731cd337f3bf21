package rest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/media"
)

// Output formats of a prompt.
const (
	formatDefault = "default"
	formatText    = "text"
	formatJSON    = "json"
	formatStream  = "stream-json"
)

// prompt is the body of POST /prompt.
type prompt struct {
	Backend         string            `json:"backend"`
	Prompt          *string           `json:"prompt"`
	Model           string            `json:"model"`
	Mode            string            `json:"mode"`
	Workdir         string            `json:"workdir"`
	Ephemeral       bool              `json:"ephemeral"`
	SessionID       string            `json:"session_id"`
	Fork            bool              `json:"fork"`
	Title           string            `json:"title"`
	Tags            []string          `json:"tags"`
	ApprovalMode    string            `json:"approval_mode"`
	SandboxMode     string            `json:"sandbox_mode"`
	OutputFormat    string            `json:"output_format"`
	MaxTokens       *int64            `json:"max_tokens"`
	MaxTurns        int               `json:"max_turns"`
	SystemPrompt    string            `json:"system_prompt"`
	Verbose         bool              `json:"verbose"`
	DryRun          bool              `json:"dry_run"`
	Extra           []string          `json:"extra"`
	Metadata        map[string]string `json:"metadata"`
	TimeoutSecs     float64           `json:"timeout_secs"`
	OutputSchema    json.RawMessage   `json:"output_schema"`
	ReasoningEffort string            `json:"reasoning_effort"`
	Images          []image           `json:"images"`
}

// image is a data URL, or a media type and base64.
type image struct {
	URL       string `json:"url"`
	MediaType string `json:"media_type"`
	Data      string `json:"data"`
}

// UnmarshalJSON takes a string (a data URL) too.
func (i *image) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &i.URL)
	}
	type plain image
	return json.Unmarshal(b, (*plain)(i))
}

// keep is what the prompt asks for about its session; nil: none is kept.
func (p *prompt) keep() (*engine.Keep, error) {
	if p.Fork && p.SessionID == "" {
		return nil, bad("fork", "fork needs the session that is to be branched: set session_id")
	}
	if err := checkLabels(p.Title, p.Tags, p.Metadata); err != nil {
		return nil, err
	}
	if !p.Ephemeral {
		return &engine.Keep{ID: p.SessionID, Fork: p.Fork, Title: p.Title, Tags: p.Tags, Metadata: p.Metadata}, nil
	}
	if p.SessionID != "" {
		return nil, bad("ephemeral", "ephemeral keeps no session, so session_id cannot be continued; leave one of them out")
	}
	return nil, nil //nolint:nilnil // as documented
}

// alone refuses what is for one prompt only: those of several keep no sessions.
func (p *prompt) alone() error {
	switch {
	case p.SessionID != "":
		return bad("session_id", "session_id is for POST /api/v1/prompt; prompts of several keep no session")
	case p.Fork:
		return bad("fork", "fork is for POST /api/v1/prompt; prompts of several keep no session")
	}
	p.Ephemeral = true
	return checkLabels(p.Title, p.Tags, p.Metadata)
}

func bad(param, format string, args ...any) error {
	e := httpapi.Errorf(http.StatusBadRequest, format, args...)
	e.Param = param
	return e
}

// turn is the prompt as the engine takes it.
func (p *prompt) turn() (*engine.Turn, error) {
	if p.Prompt == nil || strings.TrimSpace(*p.Prompt) == "" {
		return nil, bad("prompt", "prompt is required and must not be empty")
	}
	switch p.OutputFormat {
	case "", formatDefault, formatText, formatJSON, formatStream:
	default:
		return nil, bad("output_format", "output_format is %q; it must be default, text, json or stream-json", p.OutputFormat)
	}
	switch {
	case p.MaxTokens != nil && *p.MaxTokens < 1:
		return nil, bad("max_tokens", "max_tokens must be at least 1")
	case p.MaxTurns < 0:
		return nil, bad("max_turns", "max_turns must not be negative")
	case p.TimeoutSecs < 0:
		return nil, bad("timeout_secs", "timeout_secs must not be negative")
	}
	t := &engine.Turn{
		Backend: p.Backend, Model: p.Model, DefaultMode: engine.ModeAgent, System: p.SystemPrompt,
		MaxSteps: p.MaxTurns, ExtraArguments: p.Extra, NoLive: true,
		Timeout:  time.Duration(p.TimeoutSecs * float64(time.Second)),
		Sampling: engine.Sampling{MaxOutputTokens: p.MaxTokens, ReasoningEffort: p.ReasoningEffort},
	}
	if len(p.OutputSchema) > 0 && string(p.OutputSchema) != "null" {
		if p.OutputSchema[0] != '{' {
			return nil, bad("output_schema", "output_schema must be a JSON Schema object")
		}
		t.OutputSchema = p.OutputSchema
	}
	parts := make([]engine.Part, 0, len(p.Images)+1)
	for i, img := range p.Images {
		field := "images/" + itoa(i)
		blob, err := img.blob(field)
		if err != nil {
			return nil, bad(field, "image %d %w", i, err)
		}
		parts = append(parts, blob)
	}
	t.Messages = []engine.Message{{Role: engine.RoleUser, Parts: append(parts, engine.Text(*p.Prompt))}}
	names := [4]string{"mode", "workdir", "approval_mode", "sandbox_mode"}
	return t, httpapi.SetMode(t, p.Mode, p.Workdir, p.ApprovalMode, p.SandboxMode, names)
}

func (i image) blob(field string) (engine.Blob, error) {
	mediaType, data := i.MediaType, i.Data
	switch rest, ok := strings.CutPrefix(i.URL, "data:"); {
	case ok:
		head, encoded, ok := strings.Cut(rest, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return engine.Blob{}, errors.New("must have a data URL in base64: data:image/png;base64,…")
		}
		mediaType, data = strings.TrimSuffix(head, ";base64"), encoded
	case media.Remote(i.URL):
		return engine.Blob{MediaType: media.AnyImage, URL: i.URL, Field: field}, nil
	case i.URL != "":
		return engine.Blob{}, errors.New("must have a data: URL, or an http: or https: one")
	}
	if mediaType == "" || data == "" {
		return engine.Blob{}, errors.New("must have url, or media_type and data")
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return engine.Blob{}, errors.New("is not base64")
	}
	mediaType, err = media.Check(mediaType, raw)
	return engine.Blob{MediaType: mediaType, Data: raw}, err
}

// clientNames are this dialect's names of the engine's fields.
var clientNames = map[string]string{engine.FieldMaxOutputTokens: "max_tokens"}

func ignoredFields(fields []string) []string {
	var out []string
	for _, f := range fields {
		if name, ok := clientNames[f]; ok {
			f = name
		}
		out = append(out, f)
	}
	return out
}

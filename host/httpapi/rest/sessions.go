package rest

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/near"
	"github.com/clinvk/clinvk/host/session"
	"github.com/clinvk/clinvk/host/store"
)

// Sessions manages kept conversations.
type Sessions interface {
	Sessions(ctx context.Context, owner string, f store.Filter) (store.Page, error)
	Session(ctx context.Context, owner, id string) (*store.Session, []session.Turn, error)
	Change(ctx context.Context, owner, id string, c store.Change) (*store.Session, error)
	Delete(ctx context.Context, owner, id string) error
}

// sessionRecord is what is told about a session.
type sessionRecord struct {
	ID         string            `json:"id"`
	ParentID   string            `json:"parent_id,omitempty"`
	Title      string            `json:"title"`
	Status     string            `json:"status"`
	Backend    string            `json:"backend"`
	Model      string            `json:"model"`
	Mode       string            `json:"mode"`
	Workdir    string            `json:"workdir"`
	Tags       []string          `json:"tags"`
	Metadata   map[string]string `json:"metadata"`
	Turns      int               `json:"turns"`
	TokenUsage sessionUsage      `json:"token_usage"`
	CreatedAt  string            `json:"created_at"`
	UpdatedAt  string            `json:"updated_at"`
}

// sessionUsage is the sum over the turns of a session.
type sessionUsage struct {
	InputTokens     int64 `json:"input_tokens"`
	OutputTokens    int64 `json:"output_tokens"`
	CachedTokens    int64 `json:"cached_tokens"`
	ReasoningTokens int64 `json:"reasoning_tokens"`
}

// fullSession is a session with its transcript.
type fullSession struct {
	sessionRecord
	SystemPrompt string           `json:"system_prompt"`
	Transcript   []transcriptTurn `json:"transcript"`
}

type transcriptTurn struct {
	Turn         int               `json:"turn"`
	Backend      string            `json:"backend"`
	Model        string            `json:"model"`
	CreatedAt    string            `json:"created_at"`
	FinishReason string            `json:"finish_reason"`
	TokenUsage   sessionUsage      `json:"token_usage"`
	User         []session.Message `json:"user"`
	Assistant    []session.Part    `json:"assistant"`
}

func recordOf(s *store.Session) sessionRecord {
	r := sessionRecord{
		ID: s.ID, ParentID: s.ParentID, Title: s.Title, Status: s.Status, Backend: s.Backend, Model: s.Model, Mode: s.Mode,
		Workdir: s.WorkingDir, Tags: s.Tags, Metadata: s.Metadata, Turns: s.Turns, TokenUsage: sumOf(s.Usage),
		CreatedAt: stamp(s.Created), UpdatedAt: stamp(s.Updated),
	}
	if r.Tags == nil {
		r.Tags = []string{}
	}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	return r
}

func sumOf(u store.Usage) sessionUsage {
	return sessionUsage{u.Input, u.Output, u.Cached, u.Reasoning}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// sessionFilters are the parameters of the list.
var sessionFilters = []string{"backend", "status", "tag", "workdir", "q", "limit", "offset"}

func (d *Dialect) listSessions(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	query := r.URL.Query()
	for name := range query {
		if !slices.Contains(sessionFilters, name) {
			return bad(name, "unknown parameter %q%s", name, near.DidYouMean(name, sessionFilters))
		}
	}
	f := store.Filter{
		Backend: query.Get("backend"), Status: query.Get("status"), Tag: query.Get("tag"),
		WorkingDir: query.Get("workdir"), Query: query.Get("q"),
	}
	var err error
	if f.Limit, err = number(query.Get("limit"), "limit", 1, store.MaxPage, store.DefaultPage); err != nil {
		return err
	}
	const maxOffset = 1 << 30
	if f.Offset, err = number(query.Get("offset"), "offset", 0, maxOffset, 0); err != nil {
		return err
	}
	if len(f.Query) > maxQuery {
		return bad("q", "q has %d bytes; it may have %d", len(f.Query), maxQuery)
	}
	page, err := d.config.Sessions.Sessions(r.Context(), httpapi.Owner(r), f)
	if err != nil {
		return err
	}
	out := struct {
		Sessions []sessionRecord `json:"sessions"`
		Total    int             `json:"total"`
		Limit    int             `json:"limit"`
		Offset   int             `json:"offset"`
	}{[]sessionRecord{}, page.Total, f.Limit, f.Offset}
	for _, s := range page.Sessions {
		out.Sessions = append(out.Sessions, recordOf(s))
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", out)
	return nil
}

// maxQuery bounds a search, in bytes: each word of it costs as much as a search.
const maxQuery = 1000

// number reads a parameter; absent is the default.
func number(text, name string, least, most, absent int) (int, error) {
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, bad(name, "%s is %.40q; it must be a number from %d to %d", name, text, least, most)
	}
	return n, nil
}

func (d *Dialect) getSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	s, turns, err := d.config.Sessions.Session(r.Context(), httpapi.Owner(r), p.ByName("id"))
	if err != nil {
		return err
	}
	out := fullSession{sessionRecord: recordOf(s), SystemPrompt: s.System, Transcript: []transcriptTurn{}}
	for _, t := range turns {
		out.Transcript = append(out.Transcript, transcriptTurn{
			Turn: t.Seq, Backend: t.Backend, Model: t.Model, CreatedAt: stamp(t.Created), FinishReason: t.FinishReason,
			TokenUsage: sumOf(t.Usage), User: t.User, Assistant: append([]session.Part{}, t.Assistant...),
		})
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", out)
	return nil
}

// sessionChange is the body of PATCH /sessions/{id}; what is absent stays.
type sessionChange struct {
	Title    *string            `json:"title"`
	Tags     *[]string          `json:"tags"`
	Metadata *map[string]string `json:"metadata"`
}

func (d *Dialect) changeSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	c := &sessionChange{}
	if err := read(r, c); err != nil {
		return err
	}
	var title string
	var tags []string
	var metadata map[string]string
	if c.Title != nil {
		title = *c.Title
	}
	if c.Tags != nil {
		tags = *c.Tags
	}
	if c.Metadata != nil {
		metadata = *c.Metadata
	}
	if err := checkLabels(title, tags, metadata); err != nil {
		return err
	}
	s, err := d.config.Sessions.Change(r.Context(), httpapi.Owner(r), p.ByName("id"), store.Change{Title: c.Title, Tags: c.Tags, Metadata: c.Metadata})
	if err != nil {
		return err
	}
	httpapi.WriteJSON(w, http.StatusOK, "application/json", recordOf(s))
	return nil
}

func (d *Dialect) deleteSession(w http.ResponseWriter, r *http.Request, p httprouter.Params) error {
	if err := d.config.Sessions.Delete(r.Context(), httpapi.Owner(r), p.ByName("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// Bounds of what a client may write on its sessions: as OpenAI's for metadata, and
// what a list can show for the others.
const (
	maxTitleLength   = 200 // characters
	maxTagLength     = 64
	maxMetadataKey   = 64
	maxMetadataValue = 512
)

func checkLabels(title string, tags []string, metadata map[string]string) error {
	if n := utf8.RuneCountInString(title); n > maxTitleLength {
		return bad("title", "title has %d characters; it may have %d", n, maxTitleLength)
	}
	if len(tags) > session.MaxTags {
		return bad("tags", "there are %d tags; there may be %d", len(tags), session.MaxTags)
	}
	for i, tag := range tags {
		if n := utf8.RuneCountInString(tag); n == 0 || n > maxTagLength {
			return bad("tags/"+itoa(i), "tags/%d has %d characters; a tag has 1 to %d", i, n, maxTagLength)
		}
	}
	if len(metadata) > session.MaxMetadata {
		return bad("metadata", "metadata has %d members; it may have %d", len(metadata), session.MaxMetadata)
	}
	for key, value := range metadata {
		if len(key) == 0 || len(key) > maxMetadataKey || len(value) > maxMetadataValue {
			return bad("metadata/"+key, "metadata %q: a key has 1 to %d bytes, a value up to %d", key, maxMetadataKey, maxMetadataValue)
		}
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/client"
	"github.com/clinvk/clinvk/host/config"
)

// sessionInfo is what the server tells about a session.
type sessionInfo struct {
	ID         string    `json:"id"`
	ParentID   string    `json:"parent_id"`
	Title      string    `json:"title"`
	Status     string    `json:"status"`
	Backend    string    `json:"backend"`
	Model      string    `json:"model"`
	Mode       string    `json:"mode"`
	Workdir    string    `json:"workdir"`
	Tags       []string  `json:"tags"`
	Turns      int       `json:"turns"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	TokenUsage struct {
		InputTokens  int64 `json:"input_tokens"`
		OutputTokens int64 `json:"output_tokens"`
	} `json:"token_usage"`
	// Transcript is there when one session was asked for.
	Transcript []sessionTurn `json:"transcript"`
}

// short is as much of the id as tells it from others: ids that clinvk makes are random.
func (i sessionInfo) short() string {
	const made, enough = 24, 8
	if len(i.ID) != made {
		return i.ID
	}
	return i.ID[:enough]
}

// sessionFilter chooses sessions; empty fields choose all.
type sessionFilter struct {
	backend, status, tag, workdir, query string
	limit, offset                        int // 0: the server's own
}

// path asks for the list.
func (f sessionFilter) path() string {
	q := url.Values{}
	for key, value := range map[string]string{"backend": f.backend, "status": f.status, "tag": f.tag, "workdir": f.workdir, "q": f.query} {
		if value != "" {
			q.Set(key, value)
		}
	}
	for key, value := range map[string]int{"limit": f.limit, "offset": f.offset} {
		if value != 0 {
			q.Set(key, strconv.Itoa(value))
		}
	}
	return "/api/v1/sessions?" + q.Encode()
}

// sessionPage is a part of a list, newest first.
type sessionPage struct {
	Sessions []sessionInfo `json:"sessions"`
	Total    int           `json:"total"`
}

func listSessions(ctx context.Context, c *client.Client, f sessionFilter) (page sessionPage, err error) {
	err = c.Get(ctx, f.path(), &page)
	return page, err
}

// sessionPath of one session.
func sessionPath(id string) string { return "/api/v1/sessions/" + url.PathEscape(id) }

// findSession finds a session by its id, or a beginning of it that no other one has.
func findSession(ctx context.Context, c *client.Client, id string) (*sessionInfo, error) {
	raw, err := rawSession(ctx, c, id)
	if err != nil {
		return nil, err
	}
	info := &sessionInfo{}
	if err := json.Unmarshal(raw, info); err != nil {
		return nil, fmt.Errorf("the server's answer is not what clinvk answers: %w", err)
	}
	return info, nil
}

func rawSession(ctx context.Context, c *client.Client, id string) (raw json.RawMessage, err error) {
	if id == "" {
		return nil, sessionError{errors.New("the id of the session is empty; clinvk sessions list shows the ids")}
	}
	if strings.Contains(id, "/") { // no id does, and in a path it would mean something else
		return nil, sessionError{fmt.Errorf("there is no session %q; clinvk sessions list shows those that there are", id)}
	}
	err = c.Get(ctx, sessionPath(id), &raw)
	return raw, err
}

// lastSession is the newest one that the filter chooses.
func lastSession(ctx context.Context, c *client.Client, f sessionFilter) (*sessionInfo, error) {
	f.limit = 1
	page, err := listSessions(ctx, c, f)
	switch {
	case err != nil:
		return nil, err
	case len(page.Sessions) == 1:
		return &page.Sessions[0], nil
	}
	where, whose := "", ""
	if f.workdir != "" {
		where = " in " + f.workdir
	}
	if f.backend != "" {
		whose = " of " + f.backend
	}
	return nil, sessionError{fmt.Errorf("there is no session%s%s to continue; clinvk sessions list shows those that there are", whose, where)}
}

// sessionError is a mistake about sessions that no server found.
type sessionError struct{ error }

func (e sessionError) Unwrap() error { return e.error }

// aboutSession says whether it is the session that an error is about.
func aboutSession(err error) bool {
	if _, ok := errors.AsType[sessionError](err); ok {
		return true
	}
	e, ok := errors.AsType[*client.Error](err)
	return ok && len(e.Errors) == 1 && e.Errors[0].Pointer == "/session_id"
}

// goingOn says which backend must be there to continue a session; see only.
func goingOn(backend, model string, session *sessionInfo) func(*config.Config) []string {
	return func(c *config.Config) []string {
		if _, alias := c.Models[model]; backend == "" && !alias && prefixOf(model) == "" {
			return []string{session.Backend}
		}
		return only(backend, model)(c)
	}
}

// choose finds a session to go on with.
type choose func(ctx context.Context, c *client.Client) (*sessionInfo, error)

// connectTo finds a session, and connects with the backend that it goes on with.
func (o promptOptions) connectTo(ctx context.Context, s streams, find choose) (*connection, *sessionInfo, error) {
	c, err := o.records(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	session, err := find(ctx, c.Client)
	if err == nil && !c.bare {
		return c, session, nil
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return nil, nil, err
	}
	c, err = o.connect(ctx, s, goingOn(o.backend, o.model, session))
	return c, session, err
}

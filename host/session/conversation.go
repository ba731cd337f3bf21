package session

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// conversation is a session with its turn under way. It is the turn's Watcher: the
// engine calls it from one goroutine at a time.
type conversation struct {
	keeper  *Keeper
	ctx     context.Context //nolint:containedctx // outlives the request: what was said is kept
	turn    *engine.Turn
	session *store.Session
	to      engine.Resolved  // where the turn goes
	new     []engine.Message // what this turn adds
	draft   bool             // the session was made for this turn, and ends with it unless it gets one
	release func()

	answer  engine.AnswerBuilder
	started *engine.Started
	acts    activity
	large   bool // the answer is too large to be kept
}

// storeTimeout bounds the writing of one turn: it takes a millisecond, but another
// process may be writing.
const storeTimeout = 30 * time.Second

// Event takes in what the client gets next.
func (c *conversation) Event(ev engine.Event) error {
	c.large = c.large || !c.answer.Add(ev)
	switch v := ev.(type) {
	case *engine.Started:
		c.started = v
	case *engine.ToolCallDone:
		if !v.Client {
			c.acts.use(v)
		}
	case *engine.ToolResultEvent:
		c.acts.output(v)
	case *engine.Completed:
		return c.completed(v)
	}
	return nil
}

// dir is what the session has for a working directory; chat mode leaves it alone.
func (c *conversation) dir() string { return cmp.Or(c.to.WorkingDir, c.turn.WorkingDir) }

// homeless says that the turn is an agent's whom nobody has told where to work.
func (c *conversation) homeless() bool {
	return c.keeper.config.Home != "" && c.to.Mode == engine.ModeAgent && c.to.WorkingDir == ""
}

// moves says that the backend would not find its session: it looks in the working
// directory, which is another one now. A branch without one gets its own.
func (c *conversation) moves(info engine.BackendInfo) bool {
	moved := c.dir() != c.session.WorkingDir || c.turn.Keep.Fork && c.homeless()
	return moved && info.Describe.GetCapabilities().GetSessions().GetBoundToWorkingDir()
}

func (c *conversation) completed(v *engine.Completed) error {
	defer func() { c.release() }()
	if c.large {
		err := engine.Errorf(engine.CodeTooLarge, "the answer is larger than 4 MiB, too large to be kept in session %s; ask for it with \"ephemeral\": true", c.session.ID)
		c.failed(err)
		return err
	}
	var token []byte
	if len(v.SessionToken) > 0 {
		token = v.SessionToken
	}
	if err := c.save(v.Model, v.Reason.String(), StatusActive, v.Usage, token); err != nil {
		e := *engine.AsError(err)
		e.Backend, e.Usage = c.to.Backend, &v.Usage
		c.unkept(token)
		return &e
	}
	return nil
}

// Failed keeps what the client has seen of a turn that did not end. One of which it
// has seen nothing leaves no trace but the status.
func (c *conversation) Failed(err *engine.Error) {
	defer func() { c.release() }()
	c.failed(err)
}

func (c *conversation) failed(cause *engine.Error) {
	reason, status := "error", StatusError
	if cause.Code == engine.CodeCanceled {
		reason, status = "cancelled", StatusActive
	}
	switch {
	case c.said() && !c.large:
		c.saveRest(reason, status, cause)
	case c.draft || c.started == nil:
		c.drop()
	default:
		// A backend that was sent none has not touched what another one holds.
		c.note(status, len(c.turn.Session.Token) > 0 && !passing(cause.Code))
	}
}

// saveRest writes what there was of a failed turn.
func (c *conversation) saveRest(reason, status string, cause *engine.Error) {
	var usage engine.Usage
	if cause.Usage != nil {
		usage = *cause.Usage
	}
	var model string
	if c.started != nil {
		model = c.started.Model
	}
	if err := c.save(model, reason, status, usage, nil); err != nil {
		c.keeper.log.Error("what there was of a failed turn was not kept", "session", c.session.ID, "error", err)
		c.unkept(nil)
	}
}

// note writes how a turn has ended of which nothing else is kept; diverged says that the
// backend's session counts no more.
func (c *conversation) note(status string, diverged bool) {
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	change := store.Change{Status: &status}
	if diverged {
		change.Token = new([]byte)
	}
	if err := c.keeper.config.Store.ChangeSession(ctx, c.session.Owner, c.session.ID, change); err != nil {
		c.keeper.log.Error("the end of a turn was not kept", "session", c.session.ID, "error", err)
		return
	}
	if diverged {
		c.keeper.retire(c.session.ID, c.session.Backend, c.session.Token)
	}
}

// unkept ends a turn that could not be written: what the backend remembers of it counts
// no more.
func (c *conversation) unkept(token []byte) {
	if c.draft {
		c.drop()
	} else {
		c.note(StatusError, len(c.turn.Session.Token) > 0)
	}
	if !bytes.Equal(token, c.turn.Session.Token) { // that one is forgotten
		c.keeper.retire(c.session.ID, c.to.Backend, token)
	}
}

// passing says of the failure of a turn without an answer that it had nothing to do with
// the question. The backend's session may hold that, and goes on with it, because of
// what else it holds. A question that is refused would be refused for ever.
func passing(code engine.Code) bool {
	switch code {
	case engine.CodeUnauthenticated, engine.CodeRateLimited, engine.CodeQuotaExhausted, engine.CodeOverloaded,
		engine.CodeUnavailable, engine.CodeUpstreamUnreachable, engine.CodeUpstreamFailure, engine.CodeCanceled:
		return true
	default:
		return false
	}
}

// said tells whether there is something of an answer to go on with.
func (c *conversation) said() bool { return len(c.answer.Parts()) > 0 }

// drop gives the session back, and takes it away when it has no turn.
func (c *conversation) drop() {
	if c.draft {
		c.keeper.clear(c.session.Owner, c.session.ID) // first: nobody knows of it afterwards
		c.draft = false
	}
	c.release()
	c.release = func() {}
}

// save writes the turn, and what its session has become by it.
func (c *conversation) save(model, reason, status string, usage engine.Usage, token []byte) error {
	ctx, cancel := context.WithTimeout(c.ctx, storeTimeout)
	defer cancel()
	keep, parts := c.turn.Keep, slices.Concat(c.acts.parts, partsOf(c.answer.Parts()))
	a := store.Append{
		Turn: store.SessionTurn{
			User: encode(messagesOf(c.new)), Assistant: encode(parts), Backend: c.to.Backend, Model: model, FinishReason: reason,
			Created: time.Now(),
		},
		Text: searchText(c.new, parts), Release: true,
		Change: store.Change{
			Model: &c.to.Name, // what to ask for again, and not the backend's word for what answered
			Mode:  new(c.to.Mode.String()), WorkingDir: new(c.dir()), System: &c.turn.System, Status: &status, Token: &token,
		},
	}
	if !c.keeper.config.OmitUsage {
		a.Turn.Usage = usageOf(usage)
	}
	if keep.Title != "" {
		a.Change.Title = &keep.Title
	}
	if len(keep.Tags) > 0 {
		tags := slices.Concat(c.session.Tags, keep.Tags)
		a.Change.Tags = &tags
	}
	if len(keep.Metadata) > 0 {
		metadata := merged(c.session.Metadata, keep.Metadata)
		a.Change.Metadata = &metadata
	}
	_, err := c.keeper.config.Store.AppendTurn(ctx, c.session.Owner, c.session.ID, a)
	if err == nil {
		c.draft = false
		c.retire(token)
	}
	return c.keeper.explain(c.session.ID, err)
}

// retire has the backend forget its session when that counts no more. A backend that
// has gone on with it names it by the next token, in whatever way.
func (c *conversation) retire(next []byte) {
	sent := c.turn.Session != nil && len(c.turn.Session.Token) > 0
	same := c.to.Backend == c.session.Backend && bytes.Equal(next, c.session.Token)
	if (sent && len(next) > 0) || same {
		return
	}
	c.keeper.retire(c.session.ID, c.session.Backend, c.session.Token)
}

func usageOf(u engine.Usage) store.Usage {
	return store.Usage{
		Input: engine.Known(u.InputTokens), Output: engine.Known(u.OutputTokens),
		Cached: engine.Known(u.CacheReadTokens), Reasoning: engine.Known(u.ReasoningTokens),
	}
}

// searchText is what a search finds a turn by.
func searchText(question []engine.Message, answer []Part) string {
	var b strings.Builder
	add := func(text string) {
		b.WriteString(text)
		b.WriteByte('\n')
	}
	for _, m := range question {
		for _, p := range m.Parts {
			if text, ok := p.(engine.Text); ok {
				add(string(text))
			}
		}
	}
	for _, p := range answer {
		if p.Type == typeText {
			add(p.Text)
		}
	}
	return b.String()
}

// activity is what the backend's own tools did, for people to read. It is bounded: an
// agent may read gigabytes.
type activity struct {
	parts []Part
	size  int
}

// Bounds of an activity, in bytes: of one text, and of all together.
const (
	maxActivityText = 4 << 10
	maxActivity     = 1 << 20
)

func (a *activity) use(call *engine.ToolCallDone) {
	arguments := call.Arguments
	if len(arguments) > maxActivityText || !json.Valid([]byte(arguments)) {
		arguments = string(encode(clipped(arguments)))
	}
	a.add(Part{Type: typeToolUse, ID: call.ID, Name: call.Name, Arguments: arguments})
}

func (a *activity) output(r *engine.ToolResultEvent) {
	p := Part{Type: typeToolOutput, ID: r.CallID, Name: r.Name, IsError: r.IsError}
	for _, part := range r.Parts {
		switch v := part.(type) {
		case engine.Text:
			p.Content = append(p.Content, Part{Type: typeText, Text: clipped(string(v))})
		case engine.Blob:
			p.Content = append(p.Content, Part{Type: typeText, Text: fmt.Sprintf("[%s, %d bytes]", v.MediaType, len(v.Data))})
		}
	}
	a.add(p)
}

func (a *activity) add(p Part) {
	size := 100 + len(p.Arguments)
	for _, c := range p.Content {
		size += len(c.Text)
	}
	if a.size+size <= maxActivity {
		a.size += size
		a.parts = append(a.parts, p)
	}
}

func clipped(text string) string {
	if len(text) <= maxActivityText {
		return text
	}
	return strings.ToValidUTF8(text[:maxActivityText], "") + fmt.Sprintf("… (%d bytes)", len(text))
}

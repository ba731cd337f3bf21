package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// sessionToken says which thread a session is, and how its last turn left it.
type sessionToken struct {
	// Thread is the CLI's id of it.
	Thread string `json:"thread"`
	// System is the fingerprint of the system prompt that the thread was told.
	System string `json:"system,omitempty"`
	// Given names the settings that the last turn gave; the thread keeps them.
	Given []string `json:"given,omitempty"`
	// Used is the usage of all its turns, which the CLI counts on from; nil: not known.
	Used *tokenUsage `json:"used,omitempty"`
}

// threadID is strict: to other names than UUIDs the CLI gives meanings of its own.
var threadID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// parseToken reads a token; ok is false when it is not one of ours.
func parseToken(token []byte) (t sessionToken, ok bool) {
	if json.Unmarshal(token, &t) != nil || !threadID.MatchString(t.Thread) {
		return sessionToken{}, false
	}
	return t, true
}

// bytes writes the token.
func (t sessionToken) bytes() []byte {
	text, err := json.Marshal(t)
	if err != nil {
		return nil // cannot be: strings and numbers
	}
	return text
}

// fingerprint tells system prompts apart; that of none is empty.
func fingerprint(system string) string {
	if system == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(system))
	return hex.EncodeToString(sum[:8])
}

// given names the settings that a turn gives to its thread.
func given(turn *plugins.Turn) []string {
	names := slices.Collect(maps.Keys(permissions(turn)))
	if turn.Model != "" {
		names = append(names, "model")
	}
	if turn.Sampling.ReasoningEffort != "" {
		names = append(names, "effort")
	}
	slices.Sort(names)
	return names
}

// session is the thread that a turn continues, or makes to be continued.
type session struct {
	// action is what is done with token's thread. It becomes SessionCreate where that
	// thread is of no use: then the session is made of the messages.
	action plugins.SessionAction
	token  sessionToken
	// asked says that the thread holds all messages, the last one as well.
	asked bool
	// replaces is the thread that a new one takes the place of; empty: none.
	replaces string
}

// sessionOf says what to do for turn; nil: no session is kept.
func sessionOf(turn *plugins.Turn) *session {
	if turn.Session == nil {
		return nil
	}
	s := &session{action: turn.Session.Action}
	known, ok := parseToken(turn.Session.Token)
	now := given(turn)
	// The CLI has no word for "as the user configured it", and would go on with what an
	// earlier turn was given: full access, for one.
	keeps := func(name string) bool { return !slices.Contains(now, name) }
	if !ok || turn.Session.Held >= len(turn.Messages) || slices.ContainsFunc(known.Given, keeps) {
		s.action = plugins.SessionCreate
	}
	s.token = known
	if turn.Session.Action == plugins.SessionResume {
		s.replaces = known.Thread
	}
	return s
}

// retry prepares the session for another run of its turn and says whether that goes on
// in the same thread.
func (s *session) retry(r *run, err error) bool {
	if s == nil || s.action != plugins.SessionResume {
		return false
	}
	s.asked = r.told && !errors.Is(err, errWaiting) && !errors.Is(err, appserver.ErrGone)
	if !s.asked { // it may hold the question, or the note that the user interrupted it
		s.action = plugins.SessionCreate
	}
	return s.asked
}

// opened is a thread for one turn of agent mode.
type opened struct {
	thread
	// items are what it lacks of the conversation.
	items []object
	// kept says that the CLI writes it to a file, made that this turn began the file.
	kept, made bool
	// used is its usage so far; nil: not known.
	used *tokenUsage
}

// open gets the thread for a turn. A session that cannot be continued is made anew,
// and a turn whose session cannot be made does without.
func (b *backend) open(ctx context.Context, client *appserver.Client, j job) (opened, error) {
	if s := j.session; s != nil && s.action != plugins.SessionCreate {
		o, err := continueSession(ctx, client, j)
		if !refused(err) {
			return o, err
		}
		b.log.Info("the Codex CLI does not continue a session, a new one is made", "reason", err)
		s.action = plugins.SessionCreate
	}
	if j.session != nil {
		params := agentParams(j)
		params["historyMode"] = "legacy" // so that a thread stands alone also when it is forked
		th, err := startThread(ctx, client, params)
		if !refused(err) {
			return opened{thread: th, items: j.items, kept: true, made: true, used: &tokenUsage{}}, err
		}
		b.log.Warn("the Codex CLI does not make a session", "reason", err)
	}
	params := agentParams(j)
	params["ephemeral"] = true
	th, err := startThread(ctx, client, params)
	return opened{thread: th, items: j.items, used: &tokenUsage{}}, err
}

// refused says that the app-server did not do what it was asked for, although it has room.
func refused(err error) bool {
	rpc, ok := errors.AsType[*appserver.RPCError](err)
	return ok && !rpc.Overloaded()
}

// errOtherThread says that the CLI continued something else, or that it would ask another
// model server than the one that is configured now.
var errOtherThread = &appserver.RPCError{Message: "another thread was continued, or one of another model provider"}

// continueSession loads, or branches, the session's thread.
func continueSession(ctx context.Context, client *appserver.Client, j job) (opened, error) {
	s, turn := j.session, j.turn
	fork := s.action == plugins.SessionFork
	method := "thread/resume"
	if fork {
		method = "thread/fork"
	}
	params := agentParams(j)
	delete(params, "modelProvider") // a thread stays with the one that it began with
	params["threadId"], params["excludeTurns"] = s.token.Thread, true
	th, err := askThread(ctx, client, method, params)
	if err != nil {
		return opened{}, err
	}
	o := opened{thread: th, kept: true, made: fork, used: s.token.Used}
	ours := th.provider == providerSocket || th.provider == providerEvents
	if same := th.id == s.token.Thread; same == fork || ours != (j.provider != "") {
		leave(client, o)
		return opened{}, errOtherThread
	}
	if s.asked {
		return o, nil
	}
	system := ""
	if fingerprint(turn.System) != s.token.System {
		system = turn.System // the thread keeps the instructions that it began with
	}
	o.items, err = conversationItems(system, turn.Messages[turn.Session.Held:])
	if err != nil {
		leave(client, o)
	}
	return o, err
}

// keep gives the thread back after a turn that ended well and returns the session's
// token, nil when there is none.
func (b *backend) keep(ctx context.Context, r *run, o opened) []byte {
	if !o.kept {
		leave(r.client, o)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := r.remember(ctx)
	if err == nil {
		err = unload(ctx, r.client, o.id)
	}
	if err != nil {
		b.log.Warn("keeping a session", "error", err)
		leave(r.client, o)
		return nil
	}
	t := sessionToken{Thread: o.id, System: fingerprint(r.turn.System), Given: given(r.turn)}
	if used := r.used; !r.uncounted {
		t.Used = &used
	}
	return t.bytes()
}

// replace deletes the thread whose place another one has taken: no token names it any
// more. The caller has claimed it. One that is loaded elsewhere stays.
func (b *backend) replace(ctx context.Context, client *appserver.Client, s *session, by string) {
	if s == nil || s.replaces == "" || s.replaces == by {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if err := b.deleteThread(ctx, client, s.replaces); err != nil {
		b.log.Debug("deleting the thread that a session has left", "error", err)
	}
}

// remember puts what the client has read of an unfinished message into the thread: the
// CLI forgets it with the interrupt.
func (r *run) remember(ctx context.Context) error {
	if r.unfinished.Len() == 0 {
		return nil
	}
	said := messageItem("assistant", []object{{"type": "output_text", "text": r.unfinished.String()}})
	return r.client.Call(ctx, "thread/inject_items", object{"threadId": r.thread.id, "items": []object{said}}, nil)
}

// unload frees a thread and waits until any process can have it.
func unload(ctx context.Context, client *appserver.Client, id string) error {
	inbox, stop := client.Subscribe(id)
	defer stop()
	if err := client.Call(ctx, "thread/unsubscribe", object{"threadId": id}, nil); err != nil {
		return err
	}
	for {
		select {
		case <-inbox.Ready():
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-client.Gone():
			return appserver.ErrGone
		}
		events, _ := inbox.Take()
		if slices.ContainsFunc(events, func(e appserver.Event) bool { return e.Method == "thread/closed" }) {
			return nil
		}
	}
}

// free unloads a thread that is loaded again soon.
func (b *backend) free(ctx context.Context, client *appserver.Client, o opened) {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if err := unload(ctx, client, o.id); err != nil {
		b.log.Debug("freeing a session", "error", err)
	}
}

// leave gives up a thread, and its file when this turn began it.
func leave(client *appserver.Client, o opened) {
	method := "thread/unsubscribe"
	if o.kept && o.made {
		method = "thread/delete"
	}
	_ = client.Tell(method, object{"threadId": o.id}) // an error: the process is gone, and the thread with it
}

// inUse are the threads that turns work in: one at a time.
type inUse struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

// claim says whether id was free; then the caller must release it.
func (u *inUse) claim(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, taken := u.ids[id]; taken {
		return false
	}
	if u.ids == nil {
		u.ids = map[string]struct{}{}
	}
	u.ids[id] = struct{}{}
	return true
}

func (u *inUse) release(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.ids, id)
}

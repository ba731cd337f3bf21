package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/gemini/internal/kept"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// keepFor is how long a session is kept that nobody goes on with; as the CLI keeps
// its own. A later turn then begins with the messages.
const keepFor = 30 * 24 * time.Hour

// pruneEvery is how often such sessions are looked for: a plugin may run for months.
const pruneEvery = 24 * time.Hour

// SessionSupport: a kept session is loaded into a private home, wherever the agent works.
func (b *backend) SessionSupport() plugins.SessionSupport {
	return plugins.SessionSupport{Fork: true, AgentOnly: true}
}

// openKept opens the sessions. Without them turns work as well, from their messages.
func (b *backend) openKept(stateDir string) []plugins.Diagnostic {
	if stateDir == "" {
		return nil
	}
	store, err := kept.New(filepath.Join(stateDir, "sessions"))
	if err == nil {
		err = store.Prune(keepFor)
		b.pruned.Store(time.Now().UnixNano())
	}
	if err != nil {
		return []plugins.Diagnostic{{
			Severity: plugins.SeverityWarning, Summary: "sessions are not kept: make the state directory writable", Detail: err.Error(),
		}}
	}
	b.kept = store
	return nil
}

// prune deletes sessions that nobody goes on with, when that was not done for a while.
func (b *backend) prune() {
	last := b.pruned.Load()
	if time.Since(time.Unix(0, last)) < pruneEvery || !b.pruned.CompareAndSwap(last, time.Now().UnixNano()) {
		return
	}
	if err := b.kept.Prune(keepFor); err != nil {
		plugins.Logger().Warn("old sessions stay", "error", err.Error())
	}
}

// ListSessions lists the kept sessions, newest first.
func (b *backend) ListSessions(_ context.Context, workingDir string) ([]plugins.SessionInfo, error) {
	if b.kept == nil {
		return nil, nil
	}
	infos, err := b.kept.List()
	if err != nil {
		return nil, err
	}
	var out []plugins.SessionInfo
	for _, i := range infos {
		if workingDir != "" && i.WorkingDir != filepath.Clean(workingDir) {
			continue
		}
		out = append(out, plugins.SessionInfo{Token: []byte(i.Name), Title: i.Title, WorkingDir: i.WorkingDir, Updated: i.Updated})
	}
	return out, nil
}

// DeleteSession forgets a session.
func (b *backend) DeleteSession(_ context.Context, token []byte) error {
	if b.kept == nil {
		return nil
	}
	return b.kept.Delete(string(token))
}

// keeper keeps the conversation of one turn in a session.
type keeper struct {
	store *kept.Store
	// session is what was there before the turn's answer.
	session kept.Session
	// replaces is the state that the new one takes the place of; may be empty.
	replaces string
}

// keeper begins with what the session holds, and with the whole conversation when
// it is not there any more; nil when none is to be kept.
func (b *backend) keeper(turn *plugins.Turn, contents []wire.Content) *keeper {
	if turn.Session == nil || b.kept == nil {
		return nil
	}
	k := &keeper{store: b.kept, session: kept.Session{Title: title(turn.Messages), Contents: contents}}
	if turn.WorkingDir != "" {
		k.session.WorkingDir = filepath.Clean(turn.WorkingDir)
	}
	action, token, held := turn.Session.Action, string(turn.Session.Token), turn.Session.Held
	if action == plugins.SessionCreate || held <= 0 || held >= len(contents) {
		return k
	}
	old, err := b.kept.Load(token)
	if err != nil {
		if !errors.Is(err, kept.ErrGone) {
			plugins.Logger().Warn("going on without a kept session", "error", err.Error())
		}
		return k
	}
	k.session.Contents = slices.Concat(old.Contents, contents[held:])
	if action == plugins.SessionResume {
		k.replaces = token
	}
	return k
}

// keep keeps what was said since, and returns the token of the session. Without one
// the next turn begins with the messages.
func (k *keeper) keep(said []wire.Content) (token []byte) {
	session := k.session
	session.Contents = slices.Concat(session.Contents, said)
	name, err := k.store.Save(session)
	if err != nil {
		plugins.Logger().Warn("the session is not kept", "error", err.Error())
		return nil
	}
	if k.replaces != "" {
		if err := k.store.Delete(k.replaces); err != nil {
			plugins.Logger().Warn("the former state of a session stays", "error", err.Error())
		}
	}
	return []byte(name)
}

// titleLength bounds a title, in characters.
const titleLength = 100

// title is the first line that the user has written.
func title(messages []plugins.Message) string {
	for _, m := range messages {
		if m.Role != plugins.RoleUser {
			continue
		}
		for _, p := range m.Parts {
			text, _ := p.(plugins.Text)
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimSpace(line); line != "" {
					return shorten(line)
				}
			}
		}
	}
	return ""
}

func shorten(line string) string {
	n := 0
	for i := range line {
		if n++; n > titleLength {
			return line[:i] + "…"
		}
	}
	return line
}

// kept keeps the conversation of a turn that came to a proper end. What is kept is
// what the caller was told: text beyond the CLI's record, of an answer that was
// interrupted, is kept as well.
func (t *turnRun) kept() []byte {
	if t.keeper == nil {
		return nil
	}
	said, err := t.session.Said()
	if err != nil {
		plugins.Logger().Warn("the session is not kept", "error", err.Error())
		return nil
	}
	rest, ok := strings.CutPrefix(t.text.String(), wire.Text(said))
	if !ok || !t.tools.toldAll(said) {
		plugins.Logger().Warn("the session is not kept: the CLI's record differs from what it told")
		return nil
	}
	if rest != "" {
		said = append(said, wire.Spoken(rest))
	}
	return t.keeper.keep(said)
}

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/clinvk/clinvk/plugins/gemini/internal/acp"
	"github.com/clinvk/clinvk/plugins/gemini/internal/wire"
)

// Session is one conversation in a process. One goroutine uses it; Cancel may be
// called by another.
type Session struct {
	worker *Worker
	id     string
	inbox  *acp.Inbox
	traces []string // directories to remove
	chat   string   // the seeded session file; empty without one
	seeded int      // bytes of it that are the seed
}

// OpenBody opens a session whose requests are replaced by a body: settings are
// those of wire.Body.
func (w *Worker) OpenBody(ctx context.Context, settings []byte) (*Session, error) {
	w.stderr.reset()
	w.sessions++
	w.sent += len(settings)
	dir, err := w.home.session(w.sessions, settings)
	if err != nil {
		return nil, err
	}
	s := &Session{worker: w, traces: []string{
		dir, filepath.Join(w.home.state(), "tmp", filepath.Base(dir)), filepath.Join(w.home.state(), "history", filepath.Base(dir)),
	}}
	var r acp.SessionResult
	err = w.conn.Call(ctx, acp.MethodNewSession, acp.SessionParams{Cwd: dir, MCPServers: []json.RawMessage{}}, &r)
	if err == nil && r.SessionID == "" {
		err = errors.New("the CLI opened a session without an id")
	}
	if err != nil {
		s.Close()
		return nil, w.gone(err)
	}
	s.id = r.SessionID
	s.inbox = w.conn.Inbox(s.id)
	return s, nil
}

// OpenSeed opens a session that already holds a conversation. system is what the
// file with the instructions holds; it has no effect without Profile.SystemFile.
// An empty dir is an empty private directory.
func (w *Worker) OpenSeed(ctx context.Context, seed wire.Seed, system, dir string) (*Session, error) {
	w.stderr.reset()
	w.sessions++
	if dir == "" {
		dir = w.home.cwd()
	}
	state, err := w.home.project(dir)
	if err != nil {
		return nil, err
	}
	s := &Session{worker: w, id: seed.SessionID, traces: []string{state}}
	if err := s.seed(seed, system, state); err != nil {
		s.Close()
		return nil, err
	}
	s.inbox = w.conn.Inbox(s.id)
	err = s.inbox.Send(acp.MethodLoadSession, acp.SessionParams{SessionID: s.id, Cwd: dir, MCPServers: []json.RawMessage{}})
	if err == nil {
		err = s.settle(ctx, seed.Echoes())
	}
	if err != nil {
		s.Close()
		return nil, w.gone(err)
	}
	return s, nil
}

func (s *Session) seed(seed wire.Seed, system, state string) error {
	file, err := seed.File()
	if err != nil {
		return err
	}
	s.seeded = len(file)
	s.worker.sent += len(file) + len(system)
	if err := os.WriteFile(s.worker.home.system(), []byte(system), 0o600); err != nil {
		return fmt.Errorf("writing the instructions: %w", err)
	}
	chats := filepath.Join(state, "chats")
	if err := os.MkdirAll(chats, 0o700); err != nil {
		return fmt.Errorf("writing the conversation: %w", err)
	}
	// The name must differ from the one that the CLI itself would give.
	s.chat = filepath.Join(chats, "session-seed-"+seed.SessionID[:8]+".jsonl")
	if err := os.WriteFile(s.chat, file, 0o600); err != nil {
		return fmt.Errorf("writing the conversation: %w", err)
	}
	return nil
}

// settle waits until the CLI has told the whole seeded conversation back, which
// goes on after its reply: what comes later is the model's.
func (s *Session) settle(ctx context.Context, echoes int) error {
	replied, commands := false, false
	for !replied || !commands || echoes > 0 {
		m, err := s.inbox.Next(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("loading the conversation: %w", err)
		case m.IsReply() && m.Err != nil:
			return fmt.Errorf("loading the conversation: %w", m.Err)
		case m.IsReply():
			replied = true
			continue
		}
		u, err := m.Update()
		if err != nil {
			return err
		}
		switch u.Kind {
		case acp.UpdateCommands:
			commands = true
		case acp.UpdateText, acp.UpdateUser:
			echoes--
		}
	}
	return nil
}

// SetModel chooses the session's model; the CLI takes any name.
func (s *Session) SetModel(ctx context.Context, model string) error {
	return s.set(ctx, acp.MethodSetModel, acp.SetModelParams{SessionID: s.id, ModelID: model})
}

// SetMode chooses the session's approval mode.
func (s *Session) SetMode(ctx context.Context, mode string) error {
	return s.set(ctx, acp.MethodSetMode, acp.SetModeParams{SessionID: s.id, ModeID: mode})
}

// set calls and drops what the CLI says about it: it reports a mode as a message.
func (s *Session) set(ctx context.Context, method string, params any) error {
	if err := s.inbox.Send(method, params); err != nil {
		return s.worker.gone(err)
	}
	for {
		m, err := s.inbox.Next(ctx)
		if err != nil {
			return s.worker.gone(err)
		}
		if m.IsReply() {
			if m.Err != nil {
				return fmt.Errorf("calling %s: %w", method, m.Err)
			}
			return nil
		}
	}
}

// Prompt begins the turn; Next tells what happens, the reply being its end.
func (s *Session) Prompt(text string) error {
	err := s.inbox.Send(acp.MethodPrompt, acp.PromptParams{SessionID: s.id, Prompt: []acp.Content{{Type: "text", Text: text}}})
	return s.worker.gone(err)
}

// Next returns what the CLI says next about the turn.
func (s *Session) Next(ctx context.Context) (acp.Message, error) {
	m, err := s.inbox.Next(ctx)
	return m, s.worker.gone(err)
}

// Cancel asks for the turn's end; its reply still comes.
func (s *Session) Cancel() error {
	return s.worker.conn.Notify(acp.MethodCancel, acp.CancelParams{SessionID: s.id})
}

// Answer decides about a permission that the CLI has asked for.
func (s *Session) Answer(m acp.Message, reply acp.PermissionReply) error {
	return s.worker.conn.Reply(m.ID, reply)
}

// Refuse answers any other request.
func (s *Session) Refuse(m acp.Message, why string) error { return s.worker.conn.Refuse(m.ID, why) }

// Responses are the model's answers so far, those that came to an end.
func (s *Session) Responses() ([]wire.Response, error) {
	b, err := os.ReadFile(s.worker.home.record())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the CLI's record: %w", err)
	}
	return wire.Record(b)
}

// Outputs are the results of the agent's tools so far, by the call's id.
func (s *Session) Outputs() map[string]wire.Output {
	b, err := os.ReadFile(s.chat)
	if err != nil {
		return nil // the protocol's own text has to do
	}
	return wire.Outputs(b)
}

// Said is what the turn has added to a seeded conversation, the prompt left out. The
// CLI must be done with the turn.
func (s *Session) Said() ([]wire.Content, error) {
	responses, err := s.Responses()
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(s.chat)
	if err != nil {
		return nil, fmt.Errorf("reading the CLI's session: %w", err)
	}
	if len(b) < s.seeded {
		return nil, errors.New("the CLI has cut its session short")
	}
	return wire.Said(b[s.seeded:], responses)
}

// Reports are the CLI's own reports of errors in this turn.
func (s *Session) Reports() []string { return s.worker.home.reports() }

// Close removes what the session has left on disk. The CLI keeps it in memory.
func (s *Session) Close() {
	if s.inbox != nil {
		s.inbox.Close()
	}
	s.worker.home.forget(s.traces...)
}

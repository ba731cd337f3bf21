package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

// The CLI keeps a session as a transcript of its own, under its configuration
// directory: projects/DIRECTORY/ID.jsonl. In agent mode that is the user's, so that
// `claude --resume ID` finds the session too. A session is resumed by the path of its
// transcript: by its id, 2.1.197 would find it in its working directory only.

// SessionSupport is for agent mode: a chat is nothing but its messages.
func (*backend) SessionSupport() plugins.SessionSupport {
	return plugins.SessionSupport{Fork: true, AgentOnly: true}
}

// sessionName is what a token says: ID.MESSAGE, or ID alone for a session that was
// listed. Both are UUIDs.
type sessionName struct {
	id string
	// message is the last one that the client has seen; may be empty.
	message string
}

const uuidPattern = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	uuidForm  = regexp.MustCompile(`^` + uuidPattern + `$`)
	tokenForm = regexp.MustCompile(`^` + uuidPattern + `(\.` + uuidPattern + `)?$`)
)

// parseSession reads a token. What it returns is fit to be a part of a path.
func parseSession(token []byte) (s sessionName, ok bool) {
	if !tokenForm.Match(token) {
		return s, false
	}
	s.id, s.message, _ = strings.Cut(string(token), ".")
	return s, true
}

func (s sessionName) token() []byte { return []byte(s.id + "." + s.message) }

// opening is how a process opens a session.
type opening struct {
	// id of the session that it writes; empty: it keeps none.
	id string
	// from is the transcript that it begins with; empty: none.
	from string
	// fork leaves that one as it is.
	fork bool
	// held is how many of the turn's messages are in it.
	held int
}

// arguments are the flags for it.
func (o opening) arguments() []string {
	switch {
	case o.id == "":
		return []string{"--no-session-persistence"}
	case o.from == "":
		return []string{"--session-id=" + o.id}
	case o.fork:
		return []string{"--resume=" + o.from, "--fork-session", "--session-id=" + o.id}
	}
	return []string{"--resume=" + o.from}
}

// open says how the session of a turn is to be opened. One that is not there any more,
// or has lost what the client has seen, is made anew of the whole conversation.
func (b *backend) open(turn *plugins.Turn, anew bool) opening {
	s := turn.Session
	if s == nil || turn.Mode != plugins.ModeAgent {
		return opening{}
	}
	if s.Action != plugins.SessionCreate && !anew && goesOn(turn, s.Held) {
		name, ok := parseSession(s.Token)
		if path := b.transcript(name); ok && path != "" {
			o := opening{id: name.id, from: path, held: s.Held}
			if s.Action == plugins.SessionFork {
				o.id, o.fork = uuid(), true
			}
			return o
		}
	}
	return opening{id: uuid()}
}

// transcript is the path of a session's, empty when there is none that holds the
// session's last message.
func (b *backend) transcript(s sessionName) string {
	for _, path := range b.transcripts(s.id) {
		// The CLI writes with a delay, so one that was killed has lost something.
		if holds(path, s.message) {
			return path
		}
	}
	return ""
}

// holds says that a file holds a text. A transcript may be of any size, for the images
// that are in it.
func holds(path, text string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	buf, kept := make([]byte, 64<<10), 0
	for {
		n, err := file.Read(buf[kept:])
		read := buf[:kept+n]
		if bytes.Contains(read, []byte(text)) {
			return true
		}
		if err != nil {
			return false
		}
		kept = copy(buf, read[max(0, len(read)-len(text)):]) // it may go on
	}
}

// transcripts are the paths of a session's; there is one, unless somebody has copied it.
func (b *backend) transcripts(id string) []string {
	var out []string
	for _, dir := range b.projects() {
		path := filepath.Join(dir, id+transcriptSuffix)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			out = append(out, path)
		}
	}
	return out
}

const transcriptSuffix = ".jsonl"

// projects are the CLI's directories of sessions, one for each working directory.
func (b *backend) projects() []string {
	root := filepath.Join(b.configDir(), "projects")
	entries, _ := os.ReadDir(root) // none: no sessions
	var out []string
	for _, e := range entries {
		out = append(out, filepath.Join(root, e.Name()))
	}
	return out
}

// configDir is the user's configuration directory of the CLI.
func (b *backend) configDir() string {
	if dir := b.config.Environment[envConfigDir]; dir != "" {
		return dir
	}
	home, _ := os.UserHomeDir() // none: nothing is found in a relative path either
	return filepath.Join(home, ".claude")
}

// answeredIn is how many of the messages end with one of the assistant that says
// something. What follows is for the user to say in one message, see told.
func answeredIn(messages []plugins.Message) int {
	for n := len(messages) - 1; n > 0; n-- {
		if t := told(messages[:n], ""); len(t) > 0 && t[len(t)-1].Role == plugins.RoleAssistant {
			return n
		}
	}
	return 0
}

// seed is a transcript of earlier messages, for a new session to begin with: of those
// that it is told, 2.1.197 does not keep any.
func seed(messages []plugins.Message, model string) ([]byte, error) {
	t := &wire.Transcript{Session: uuid(), ID: uuid, At: time.Now()}
	for _, m := range told(messages, model) {
		blocks, invalid := content(m, true)
		if invalid != nil {
			return nil, invalid
		}
		if err := t.Add(historic(m.Role, blocks, model)); err != nil {
			return nil, fmt.Errorf("writing the conversation for the CLI: %w", err)
		}
	}
	return t.Bytes(), nil
}

// writers are the processes that write sessions, by the session; nil: one that is about
// to be started, or somebody else who has claimed it. Its methods may be called
// concurrently; the zero value is ready.
type writers struct {
	mu sync.Mutex
	by map[string]*process
}

func (w *writers) add(id string, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.by = map[string]*process{}
	}
	w.by[id] = p
}

// remove forgets p, or with nil a claim that no process has followed.
func (w *writers) remove(id string, p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[id] == p {
		delete(w.by, id)
	}
}

// claim takes the session for the caller, unless somebody has it.
func (w *writers) claim(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p, taken := w.by[id]; taken && (p == nil || !p.ended()) {
		return false
	}
	if w.by == nil {
		w.by = map[string]*process{}
	}
	w.by[id] = nil
	return true
}

// of returns who has the session; nil and true: one that is not running yet.
func (w *writers) of(id string) (p *process, taken bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, taken = w.by[id]
	return p, taken
}

// writerGrace is how long a process may take to leave its session to another.
const writerGrace = 3 * stopGrace

// settle waits until nobody writes the session; false: its turn runs.
func (b *backend) settle(ctx context.Context, id string) bool {
	p, taken := b.writers.of(id)
	if p == nil {
		return !taken
	}
	b.live.release(p)
	timer := time.NewTimer(writerGrace)
	defer timer.Stop()
	select {
	case <-p.proc.Done():
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

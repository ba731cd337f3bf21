package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
)

// session is a conversation on disk: a file in the state directory. Another backend
// would have in it what its CLI remembers. Echo needs nothing but the messages of the
// turn, so that it notes only how many of them the session holds.
type session struct {
	// ID is the name of the file and the session's token.
	ID         string `json:"-"`
	Title      string `json:"title"`
	WorkingDir string `json:"working_dir"`
	Held       int    `json:"held"`
}

// sessions are the files of a directory. Its methods may be called concurrently; the
// host runs one turn of a session at a time.
type sessions struct{ dir string }

// tokenForm is what rand.Text makes. A token becomes a part of a path: it is never
// used unchecked.
var tokenForm = regexp.MustCompile(`^[A-Z2-7]{26}$`)

func (s sessions) path(token string) string { return filepath.Join(s.dir, token+".json") }

// read returns a session; ok is false when it is not there, or of no use.
func (s sessions) read(token string) (r session, ok bool) {
	if !tokenForm.MatchString(token) {
		return r, false
	}
	data, err := os.ReadFile(s.path(token))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return session{}, false
	}
	r.ID = token
	return r, true
}

// open returns the turn's session, nil when none is to be kept, and how many of the
// turn's messages it held before. One that is gone, or holds another number of
// messages, is made anew of the whole conversation.
func (s sessions) open(turn *plugins.Turn) (r *session, held int) {
	if turn.Session == nil {
		return nil, 0
	}
	if turn.Session.Action != plugins.SessionCreate {
		old, ok := s.read(string(turn.Session.Token))
		if ok && old.Held == turn.Session.Held && old.Held < len(turn.Messages) {
			if turn.Session.Action == plugins.SessionFork {
				old.ID = rand.Text() // the branch; the original stays as it is
			}
			return &old, old.Held
		}
	}
	return &session{ID: rand.Text(), Title: titleOf(turn.Messages), WorkingDir: turn.WorkingDir}, 0
}

// keep writes a session that holds that many messages now and returns its token.
func (s sessions) keep(r *session, held int) (token []byte, err error) {
	r.Held = held
	data, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(s.path(r.ID), data, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the session: %w", err)
	}
	return []byte(r.ID), nil
}

// maxTitle is the length of a title, in characters.
const maxTitle = 60

func titleOf(messages []plugins.Message) string {
	title := []rune(strings.Join(strings.Fields(textOf(messages[0].Parts)), " "))
	return string(title[:min(len(title), maxTitle)])
}

// SessionSupport: a session works in both modes and from every directory.
func (*backend) SessionSupport() plugins.SessionSupport { return plugins.SessionSupport{Fork: true} }

// ListSessions reads all files. One that vanishes meanwhile is left out.
func (b *backend) ListSessions(_ context.Context, workingDir string) ([]plugins.SessionInfo, error) {
	entries, err := os.ReadDir(b.sessions.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the sessions: %w", err)
	}
	var out []plugins.SessionInfo
	for _, e := range entries {
		s, ok := b.sessions.read(strings.TrimSuffix(e.Name(), ".json"))
		info, err := e.Info()
		if !ok || err != nil || workingDir != "" && s.WorkingDir != workingDir {
			continue
		}
		out = append(out, plugins.SessionInfo{Token: []byte(s.ID), Title: s.Title, WorkingDir: s.WorkingDir, Updated: info.ModTime()})
	}
	slices.SortFunc(out, func(x, y plugins.SessionInfo) int {
		return cmp.Or(y.Updated.Compare(x.Updated), slices.Compare(x.Token, y.Token))
	})
	return out, nil
}

// DeleteSession removes the file.
func (b *backend) DeleteSession(_ context.Context, token []byte) error {
	if !tokenForm.Match(token) {
		return nil // never was one
	}
	if err := os.Remove(b.sessions.path(string(token))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting the session: %w", err)
	}
	return nil
}

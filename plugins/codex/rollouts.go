package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/codex/internal/appserver"
)

// rolloutFiles are the files of a thread, or of all with "*", below home; also those that
// the user has archived with the CLI.
func rolloutFiles(home, thread string) ([]string, error) {
	var files []string
	name := "rollout-*-" + thread + ".jsonl"
	for _, pattern := range []string{"sessions/*/*/*/" + name, "archived_sessions/" + name} {
		found, err := fs.Glob(os.DirFS(home), pattern)
		if err != nil {
			return nil, fmt.Errorf("looking for the CLI's sessions: %w", err)
		}
		files = append(files, found...)
	}
	return files, nil
}

// ListSessions implements plugins.SessionLister. The CLI's own list has only threads whose
// prompts were typed, so the files are looked through. Those of the user's own threads
// are nobody's business.
func (b *backend) ListSessions(ctx context.Context, workingDir string) ([]plugins.SessionInfo, error) {
	files, err := rolloutFiles(b.access.userHome, "*")
	if err != nil {
		return nil, err
	}
	var found []plugins.SessionInfo
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		s, ok := listed(filepath.Join(b.access.userHome, name))
		if ok && (workingDir == "" || s.WorkingDir == workingDir) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(s, t plugins.SessionInfo) int { return t.Updated.Compare(s.Updated) })
	return found, nil
}

// listed is a file as a session; ok is false when it is none, or not one of ours.
func listed(name string) (s plugins.SessionInfo, ok bool) {
	f, err := os.Open(name)
	if err != nil {
		return s, false // deleted in this moment
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return s, false
	}
	if s, ok = readRollout(f); ok {
		s.Updated = info.ModTime()
	}
	return s, ok
}

const (
	// maxRolloutLine bounds a line that is read for the list, in bytes. The first one has
	// the CLI's instructions: 22 KB.
	maxRolloutLine = 1 << 20
	// maxRolloutLines are read in search of a title.
	maxRolloutLines = 50
	// maxTitle bounds a title, in code points.
	maxTitle = 80
)

// rolloutLine is a line of a thread's file.
type rolloutLine struct {
	Type    string `json:"type"`
	Payload struct {
		ID         string    `json:"id"`
		Originator string    `json:"originator"`
		Dir        string    `json:"cwd"`
		Type       string    `json:"type"`
		Role       string    `json:"role"`
		Content    []content `json:"content"`
	} `json:"payload"`
}

type content struct {
	Text string `json:"text"`
}

// readRollout reads the beginning of a thread's file; ok is false when it is not one
// that clinvk began.
func readRollout(r io.Reader) (s plugins.SessionInfo, ok bool) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxRolloutLine)
	for n := 0; n < maxRolloutLines && lines.Scan(); n++ {
		var l rolloutLine
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			break
		}
		switch {
		case n == 0:
			if l.Type != "session_meta" || l.Payload.Originator != appserver.ClientName || !threadID.MatchString(l.Payload.ID) {
				return s, false
			}
			// What its last turn was given is not known here: it may be full access.
			s.Token = sessionToken{Thread: l.Payload.ID, Given: permissionNames}.bytes()
			if isDir(l.Payload.Dir) { // not a private one that is gone
				s.WorkingDir = l.Payload.Dir
			}
		case l.Type == "response_item" && l.Payload.Type == "message" && l.Payload.Role == "user":
			if s.Title = title(l.Payload.Content); s.Title != "" {
				return s, true
			}
		}
	}
	return s, s.Token != nil
}

// title is the first line of a message; empty for what the CLI itself says to the model.
func title(parts []content) string {
	for _, c := range parts {
		text := strings.TrimSpace(c.Text)
		if text == "" || strings.HasPrefix(text, "<") || strings.HasPrefix(text, "# AGENTS.md") {
			continue
		}
		line := []rune(firstLine(text))
		return string(line[:min(len(line), maxTitle)])
	}
	return ""
}

// DeleteSession implements plugins.SessionLister.
func (b *backend) DeleteSession(ctx context.Context, token []byte) error {
	t, ok := parseToken(token)
	if !ok {
		return nil
	}
	if files, err := rolloutFiles(b.access.userHome, t.Thread); err != nil || len(files) == 0 {
		return err
	}
	if !b.inUse.claim(t.Thread) {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the session is in use by a turn; try again when that has ended")
	}
	defer b.inUse.release(t.Thread)
	i, err := b.agent.get(ctx)
	if err != nil {
		return startFailure(ctx, err)
	}
	defer b.agent.put(i)
	if err := b.deleteThread(ctx, i.client, t.Thread); err != nil {
		return fmt.Errorf("deleting the session: %w", err)
	}
	return nil
}

// deleteThread deletes a thread and its file. The CLI refuses when the thread is loaded
// elsewhere, and when it cannot read the file: then nobody can.
func (b *backend) deleteThread(ctx context.Context, client *appserver.Client, id string) error {
	err := patiently(ctx, func() error {
		return client.Call(ctx, "thread/delete", object{"threadId": id}, nil)
	})
	if rpc, ok := errors.AsType[*appserver.RPCError](err); !ok || !rpc.Internal() {
		return err
	}
	files, err := rolloutFiles(b.access.userHome, id)
	for _, name := range files {
		err = errors.Join(err, os.Remove(filepath.Join(b.access.userHome, name)))
	}
	return err
}

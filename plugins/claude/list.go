package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clinvk/clinvk/plugins"
	"github.com/clinvk/clinvk/plugins/claude/wire"
)

const (
	// summaryBytes is how much of a transcript is read for the list. The first message
	// stands near its beginning.
	summaryBytes = 256 << 10
	// maxTitle is the length of a title that is made of a prompt, in characters.
	maxTitle = 80
)

// ListSessions lists the sessions of the user's configuration directory, also those
// that the user has begun in a terminal.
func (b *backend) ListSessions(ctx context.Context, workingDir string) ([]plugins.SessionInfo, error) {
	if real, err := filepath.EvalSymlinks(workingDir); workingDir != "" && err == nil {
		workingDir = real // as the CLI writes it
	}
	var out []plugins.SessionInfo
	for _, dir := range b.projects() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // a file, or a directory that was removed meanwhile
		}
		for _, e := range entries {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			id, is := strings.CutSuffix(e.Name(), transcriptSuffix)
			if !is || !uuidForm.MatchString(id) {
				continue
			}
			info, ok := sessionInfo(filepath.Join(dir, e.Name()), id)
			if ok && (workingDir == "" || info.WorkingDir == workingDir) {
				out = append(out, info)
			}
		}
	}
	slices.SortFunc(out, func(x, y plugins.SessionInfo) int {
		return cmp.Or(y.Updated.Compare(x.Updated), slices.Compare(x.Token, y.Token))
	})
	return out, nil
}

// sessionInfo reads what a transcript tells; ok is false when it holds no message.
func sessionInfo(path, id string) (s plugins.SessionInfo, ok bool) {
	file, err := os.Open(path)
	if err != nil {
		return s, false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return s, false
	}
	summary, err := wire.Summarize(io.LimitReader(file, summaryBytes))
	if err != nil || summary.WorkingDir == "" {
		return s, false
	}
	s = plugins.SessionInfo{Token: []byte(id), Title: summary.Title, WorkingDir: summary.WorkingDir, Updated: info.ModTime()}
	if s.Title == "" || s.Title == title {
		s.Title = shortened(summary.Prompt)
	}
	return s, true
}

// shortened is a text in one line that is not too long for a list.
func shortened(text string) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > maxTitle {
		runes = append(runes[:maxTitle-1], '…')
	}
	return string(runes)
}

// ownDirs are the directories of the CLI in which a session may have a file or a
// directory of its own, besides its transcript.
var ownDirs = []string{"file-history", "session-env", "tasks", "todos"}

// DeleteSession removes a session's transcript and what the CLI keeps with it. A
// process that waits for the session's next turn is ended.
func (b *backend) DeleteSession(ctx context.Context, token []byte) error {
	name, ok := parseSession(token)
	if !ok {
		return nil
	}
	if !b.settle(ctx, name.id) || !b.writers.claim(name.id) {
		return plugins.Errorf(plugins.CodeInvalidRequest, "the session is in use by a turn; try again when that has ended")
	}
	defer b.writers.remove(name.id, nil)
	return b.removeSession(name.id)
}

// removeSession removes what there is of a session that no process writes.
func (b *backend) removeSession(id string) error {
	var failed []error
	for _, dir := range b.projects() {
		failed = append(failed, os.RemoveAll(filepath.Join(dir, id+transcriptSuffix)), os.RemoveAll(filepath.Join(dir, id)))
	}
	for _, dir := range ownDirs {
		failed = append(failed, removeOf(filepath.Join(b.configDir(), dir), id))
	}
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("deleting the session: %w", err)
	}
	return nil
}

// removeOf removes what begins with the id of a session.
func removeOf(dir, id string) error {
	entries, _ := os.ReadDir(dir) // none: nothing to remove
	var failed []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), id) {
			failed = append(failed, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(failed...)
}

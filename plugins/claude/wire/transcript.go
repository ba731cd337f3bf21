package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Transcript is a conversation in the form in which the CLI keeps sessions on disk: a
// line for each message, which names the one before. Forked from it, a session
// begins with these messages.
type Transcript struct {
	// Session is the id of the session, and ID makes those of the messages.
	Session string
	ID      func() string
	// At is the time of the messages.
	At time.Time

	text   bytes.Buffer
	parent *string
}

// Add appends a User or an Assistant.
func (t *Transcript) Add(message json.Marshaler) error {
	line, err := message.MarshalJSON()
	if err != nil {
		return err
	}
	var m struct {
		Type    string          `json:"type"`
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return err
	}
	id := t.ID()
	row, err := json.Marshal(map[string]any{
		"parentUuid": t.parent, "isSidechain": false, "userType": "external", "sessionId": t.Session,
		"type": m.Type, "message": m.Message, "uuid": id, "timestamp": t.At.UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return err
	}
	t.parent = &id
	t.text.Write(row)
	t.text.WriteByte('\n')
	return nil
}

// Bytes are the lines so far.
func (t *Transcript) Bytes() []byte { return t.text.Bytes() }

// Summary is what the beginning of a transcript tells.
type Summary struct {
	// Title that the session was given; may be empty.
	Title string
	// Prompt is the text of the first message of the user; may be empty.
	Prompt string
	// WorkingDir that the session was begun in; empty: no message was found.
	WorkingDir string
}

// Summarize reads the beginning of a transcript, until a message is found. Lines that
// are no JSON objects, and those cut by the end of r, count for nothing.
func Summarize(r io.Reader) (Summary, error) {
	var s Summary
	lines := bufio.NewReader(r)
	for s.WorkingDir == "" || s.Prompt == "" {
		data, err := lines.ReadBytes('\n')
		s.read(data)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// read takes in one line.
func (s *Summary) read(data []byte) {
	var row struct {
		Type       string   `json:"type"`
		Title      string   `json:"customTitle"`
		WorkingDir string   `json:"cwd"`
		Meta       bool     `json:"isMeta"`
		Message    *Message `json:"message"`
	}
	if json.Unmarshal(data, &row) != nil {
		return
	}
	if row.Title != "" {
		s.Title = row.Title
	}
	if row.Message == nil {
		return
	}
	if s.WorkingDir == "" {
		s.WorkingDir = row.WorkingDir
	}
	if row.Type != TypeUser || row.Meta || s.Prompt != "" {
		return
	}
	for _, b := range row.Message.Content {
		if b.Type == "text" {
			s.Prompt = b.Text
			return
		}
	}
}

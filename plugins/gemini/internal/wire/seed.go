package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Seed is a session file that holds a whole conversation, its last message
// included; after session/load an empty prompt has the model answer it.
type Seed struct {
	// SessionID is a UUID.
	SessionID string
	Contents  []Content
	// Bare keeps the CLI from putting its own first words (the day, the operating
	// system, the project's notes) before the conversation.
	Bare bool
	// Now stands in the file; the CLI shows it to nobody.
	Now time.Time
}

type seedRecord struct {
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
	Type      string `json:"type"`
	Content   []Part `json:"content"`
}

// bareID is the id of the message that the CLI takes for its own first words.
func bareID() string {
	sum := sha256.Sum256([]byte("environment-context"))
	return hex.EncodeToString(sum[:])[:32]
}

// shield is a part that never leaves the CLI. It keeps a user's message that looks
// like a command, like the CLI's own words, or like nothing from being dropped.
func shield() Part {
	p := text("")
	p.Thought = true
	return p
}

// File is the file's content.
func (s Seed) File() ([]byte, error) {
	stamp := s.Now.UTC().Format("2006-01-02T15:04:05.000Z")
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	records := []any{map[string]string{
		"sessionId": s.SessionID, "projectHash": "clinvk", "startTime": stamp, "lastUpdated": stamp, "kind": "main",
	}}
	for i, c := range s.Contents {
		r := seedRecord{ID: fmt.Sprintf("%032x", i+1), Timestamp: stamp, Type: "gemini", Content: c.Parts}
		if i == 0 && s.Bare {
			r.ID = bareID()
		}
		if c.Role != "model" {
			r.Type = "user"
			if !answers(c) {
				r.Content = append([]Part{shield()}, c.Parts...)
			}
		}
		records = append(records, r)
	}
	if n := len(s.Contents); n > 0 && answers(s.Contents[n-1]) {
		// Otherwise the CLI says that the answer to the results was interrupted.
		records = append(records, seedRecord{ID: fmt.Sprintf("%032x", n+1), Timestamp: stamp, Type: "user", Content: []Part{shield()}})
	}
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return nil, fmt.Errorf("writing the session: %w", err)
		}
	}
	return out.Bytes(), nil
}

// answers says that a content holds results of calls.
func answers(c Content) bool {
	for _, p := range c.Parts {
		if p.FunctionResponse != nil {
			return true
		}
	}
	return false
}

// Echoes is how many updates session/load sends about this conversation: one for
// each message that is not blank, before or after its reply.
func (s Seed) Echoes() int {
	n := 0
	for _, c := range s.Contents {
		if c.Role != "model" || !blank(c) {
			n++
		}
	}
	if last := len(s.Contents); last > 0 && answers(s.Contents[last-1]) {
		n++ // the record that File adds
	}
	return n
}

func blank(c Content) bool {
	for _, p := range c.Parts {
		if p.Text == nil || trim(*p.Text) != "" {
			return false
		}
	}
	return true
}

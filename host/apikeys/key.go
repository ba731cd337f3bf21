package apikeys

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// Key is what is kept of an API key.
type Key struct {
	// Name for logs; empty: it has none.
	Name string
	// Hash is the SHA-256 of the key.
	Hash [sha256.Size]byte
}

// Plain are keys without names; empty ones are left out.
func Plain(keys ...string) []Key {
	var out []Key
	for _, key := range keys {
		if key = strings.TrimSpace(key); key != "" {
			out = append(out, Key{Hash: sha256.Sum256([]byte(key))})
		}
	}
	return out
}

// named is a line with a name and what looks like a hash of some kind: no key is
// written so.
var named = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.@-]*):([0-9A-Fa-f]{32,})$`)

// parse reads keys, one a line: NAME:SHA256 or the key itself. Empty lines and those
// that begin with # are left out. Errors name the line, and show nothing of it.
func parse(text []byte) ([]Key, error) {
	var keys []Key
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line := strings.TrimSpace(string(line))
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if m := named.FindStringSubmatch(line); m != nil {
			hash, err := hex.DecodeString(m[2])
			if err != nil || len(hash) != sha256.Size {
				return nil, fmt.Errorf("line %d: NAME:SHA256 needs %d hexadecimal digits, this one has %d", number, sha256.Size*2, len(m[2]))
			}
			keys = append(keys, Key{Name: m[1], Hash: [sha256.Size]byte(hash)})
			continue
		}
		if strings.ContainsFunc(line, unfit) {
			return nil, fmt.Errorf("line %d: a key has no blanks and ASCII characters only; it must be NAME:SHA256 or the key itself", number)
		}
		keys = append(keys, Key{Hash: sha256.Sum256([]byte(line))})
	}
	return keys, nil
}

// unfit is what a header's value cannot have, or would lose.
func unfit(r rune) bool { return r <= ' ' || r > '~' }

package subprocess

import (
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
)

// Bounds of what is kept of stderr, in bytes.
const (
	ringSize   = 8 << 10
	stderrLine = 64 << 10
)

// ring keeps the end of stderr, redacted.
type ring struct {
	replacer *strings.Replacer
	mu       sync.Mutex
	buf      []byte
}

// minSecret is the shortest value that is worth masking: shorter ones occur in
// ordinary words.
const minSecret = 6

func newRing(secrets []string) *ring {
	var pairs []string
	for _, s := range secrets {
		if len(s) >= minSecret {
			pairs = append(pairs, s, "[redacted]")
		}
	}
	return &ring{replacer: strings.NewReplacer(pairs...)}
}

// credential finds what looks like a key or token whoever it belongs to.
var credential = regexp.MustCompile(`(?i)\b(sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}|ya29\.[A-Za-z0-9._-]{10,}|bearer\s+[A-Za-z0-9._~+/-]{8,}=*|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)`)

// Redact masks the given values and everything that looks like a credential.
func Redact(text string, secrets ...string) string {
	return newRing(secrets).redact(text)
}

func (r *ring) redact(line string) string {
	return credential.ReplaceAllString(r.replacer.Replace(line), "[redacted]")
}

// consume reads to the end of stderr, line by line; long lines are cut.
func (r *ring) consume(stderr io.Reader, line func(string)) {
	lines := newLineReader(stderr, stderrLine)
	for {
		b, err := lines.next()
		text := string(b)
		if errors.Is(err, ErrLineTooLong) {
			text, err = "(a line of stderr over 64 KiB was dropped)", nil
		}
		if err != nil {
			return
		}
		text = r.redact(text)
		r.add(text)
		line(text)
	}
}

func (r *ring) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(append(r.buf, line...), '\n')
	if n := len(r.buf); n > 2*ringSize {
		r.buf = append([]byte(nil), r.buf[n-ringSize:]...)
	}
}

func (r *ring) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(string(r.buf[max(0, len(r.buf)-ringSize):])), "")
}

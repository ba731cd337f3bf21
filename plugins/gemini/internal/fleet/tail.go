package fleet

import (
	"strings"
	"sync"
)

// tailSize bounds a tail, in bytes.
const tailSize = 8 << 10

// tail is the end of what a process has written to stderr since the beginning of
// its current turn. The CLI prints whole requests when they fail, so that what an
// earlier turn left must not come up in the error of a later one, nor in a log.
type tail struct {
	mu   sync.Mutex
	text string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text += line + "\n"
	if n := len(t.text); n > 2*tailSize {
		t.text = t.text[n-tailSize:]
	}
}

func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = ""
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(strings.TrimSpace(t.text[max(0, len(t.text)-tailSize):]), "")
}

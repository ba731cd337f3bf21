package runner

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Bounds of what a plugin can make the host keep or log.
const (
	tailSize = 8 << 10  // of Exit.StderrTail, in bytes
	lineSize = 64 << 10 // longer lines are read in pieces
	logSize  = 8 << 10  // of one line in the host's log, in bytes
	logRate  = 200      // lines per second: 200,000 lines were 50 MB of host log
	logBurst = 2000     // lines
)

// output takes in what a plugin prints: all of it, so that the plugin never
// blocks, logging what the rate limit lets through and keeping the end. Its
// methods may be called concurrently.
type output struct {
	logger *slog.Logger

	mu       sync.Mutex
	secrets  *strings.Replacer
	ring     []byte
	cause    string // the line that begins the account of a death
	panicked bool
	tokens   float64
	filled   time.Time
	dropped  int
}

func newOutput(logger *slog.Logger) *output {
	return &output{logger: logger, secrets: replacer(nil), tokens: logBurst, filled: time.Now()}
}

// redact masks these values from now on, also in what was printed before.
func (o *output) redact(secrets []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.secrets = replacer(secrets)
}

// consume reads to the end, line by line, whatever comes.
func (o *output) consume(stream string, r io.Reader) {
	lines := bufio.NewReaderSize(r, lineSize)
	inside := false // of a line that is longer than the buffer
	for {
		piece, more, err := lines.ReadLine()
		if err != nil {
			return
		}
		o.keep(piece, more)
		if !inside {
			o.noteCause(piece)
			o.log(stream, piece)
		}
		inside = more
	}
}

// keep adds to the ring. What is in it is raw: masking 200 MB of stderr would
// cost minutes, masking the end of it when it is asked for costs nothing.
func (o *output) keep(piece []byte, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// Twice what is shown, so that a secret cut at the front is not shown.
	const size = 2 * tailSize
	if len(piece) > size {
		piece = piece[len(piece)-size:]
	}
	o.ring = append(o.ring, piece...)
	if !more {
		o.ring = append(o.ring, '\n')
	}
	if n := len(o.ring); n > 2*size {
		o.ring = append(o.ring[:0], o.ring[n-size:]...)
	}
}

// noteCause remembers why the plugin dies: the stacks that follow may be longer
// than all that is kept.
func (o *output) noteCause(line []byte) {
	if !deadly(line) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == "" {
		o.cause = string(line[:min(len(line), 1024)])
	}
}

// deadly says that a line begins the account of a dying Go program.
func deadly(line []byte) bool {
	for _, p := range [][]byte{[]byte("panic: "), []byte("fatal error: "), []byte("SIG")} {
		if bytes.HasPrefix(line, p) {
			return true
		}
	}
	return false
}

// tail is the redacted end of what was printed.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	raw := o.ring
	if n := len(raw); n > 2*tailSize {
		raw = raw[n-2*tailSize:]
	}
	var b strings.Builder
	for line := range strings.Lines(strings.ToValidUTF8(string(raw), "?")) {
		if r, ok := parseRecord([]byte(line)); ok {
			line = r.String() + "\n"
		}
		b.WriteString(line)
	}
	text := strings.TrimSpace(redact(o.secrets, b.String()))
	if n := len(text); n > tailSize {
		text = strings.ToValidUTF8(text[n-tailSize:], "")
		if _, whole, ok := strings.Cut(text, "\n"); ok {
			text = whole
		}
	}
	if cause := redact(o.secrets, strings.ToValidUTF8(o.cause, "?")); !strings.Contains(text, cause) {
		text = cause + "\n…\n" + strings.ToValidUTF8(text[min(len(text), len(cause)+8):], "")
	}
	return text
}

// log hands a line to the host's log, when there is room.
func (o *output) log(stream string, line []byte) {
	o.mu.Lock()
	ok, dropped := o.take()
	secrets := o.secrets
	o.mu.Unlock()
	if !ok {
		return
	}
	ctx := context.Background()
	if dropped > 0 {
		o.logger.WarnContext(ctx, "the plugin prints too much; lines were dropped", "lines", dropped)
	}
	r, ok := parseRecord(line)
	if !ok {
		r = record{level: o.guess(line), message: string(line)}
	}
	if !o.logger.Enabled(ctx, r.level) {
		return
	}
	args := []any{"stream", stream}
	for _, a := range r.attrs {
		args = append(args, a.key, clip(redact(secrets, a.value)))
	}
	o.logger.Log(ctx, r.level, clip(redact(secrets, r.message)), args...)
}

// take is a token bucket; dropped is how many lines went by since the last one.
func (o *output) take() (ok bool, dropped int) {
	now := time.Now()
	o.tokens = min(logBurst, o.tokens+logRate*now.Sub(o.filled).Seconds())
	o.filled = now
	if o.tokens < 1 {
		o.dropped++
		return false, 0
	}
	o.tokens--
	dropped, o.dropped = o.dropped, 0
	return true, dropped
}

// guess finds a level for a line that is no record. After a panic everything is
// its stack.
func (o *output) guess(line []byte) slog.Level {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := string(line[:min(len(line), 16)])
	o.panicked = o.panicked || deadly(line)
	switch {
	case o.panicked, strings.HasPrefix(text, "[ERROR]"):
		return slog.LevelError
	case strings.HasPrefix(text, "[WARN]"):
		return slog.LevelWarn
	case strings.HasPrefix(text, "[INFO]"):
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func clip(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) > logSize {
		return strings.ToValidUTF8(text[:logSize], "") + fmt.Sprintf("… (%d bytes)", len(text))
	}
	return text
}

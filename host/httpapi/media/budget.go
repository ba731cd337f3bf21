package media

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/clinvk/clinvk/host/engine"
)

// budget is a number of bytes that may be held at a time. Its methods may be called
// concurrently.
type budget struct{ left atomic.Int64 }

func newBudget(bytes int64) *budget {
	b := &budget{}
	b.left.Store(bytes)
	return b
}

// take reserves n bytes, or none and returns false.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }

// errTotal says that the files of a turn are too large together.
var errTotal = errors.New("too many bytes together")

// errBusy says that too much is fetched for all turns together.
func errBusy() error {
	return &engine.Error{
		Code: engine.CodeQueueFull, Retryable: true, RetryAfter: time.Second,
		Message: fmt.Sprintf("more than %d MiB of linked files are being fetched; try again later", maxServer>>20),
	}
}

// reserve is the largest piece that is reserved and read at a time, in bytes.
const reserve = 32 << 10

// reader reads a file of a turn and reserves its bytes before they come.
type reader struct {
	io.Reader
	turn, server *budget
}

func (r reader) Read(p []byte) (int, error) {
	p = p[:min(len(p), reserve)]
	if !r.turn.take(int64(len(p))) {
		return 0, errTotal
	}
	if !r.server.take(int64(len(p))) {
		r.turn.give(int64(len(p)))
		return 0, errBusy()
	}
	n, err := r.Reader.Read(p)
	r.turn.give(int64(len(p) - n))
	r.server.give(int64(len(p) - n))
	return n, err
}

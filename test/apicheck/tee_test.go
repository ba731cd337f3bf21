package apicheck

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// shut is a body that, as those of http.Server, may be closed by another goroutine once
// all was read.
type shut struct {
	*strings.Reader
}

func (s *shut) Read(b []byte) (int, error) {
	if s.Len() == 0 {
		return 0, http.ErrBodyReadAfterClose
	}
	return s.Reader.Read(b)
}

func (s *shut) Close() error { return nil }

// TestTeeEnds: behind the end of a body of known size nothing is read, and before it
// errors are what they are.
func TestTeeEnds(t *testing.T) {
	const text = "the whole request"
	whole := &tee{body: &shut{Reader: strings.NewReader(text)}, size: int64(len(text))}
	for range 2 { // as http.Transport does, once for the request and once for its end
		if _, err := io.Copy(io.Discard, whole); err != nil {
			t.Errorf("reading to the end: %v", err)
		}
	}
	if got, all := whole.read(); string(got) != text || !all {
		t.Errorf("read %q, whole: %v", got, all)
	}
	short := &tee{body: &shut{Reader: strings.NewReader(text)}, size: int64(len(text)) + 1}
	if _, err := io.ReadAll(short); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("a body that ended early: %v", err)
	}
	if _, all := short.read(); all {
		t.Error("a body that ended early is said to be whole")
	}
}

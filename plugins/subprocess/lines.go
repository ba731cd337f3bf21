package subprocess

import (
	"bufio"
	"errors"
	"io"
)

// ErrLineTooLong is returned for a line over Config.MaxLine.
var ErrLineTooLong = errors.New("line too long")

// lineReader cuts a stream into lines of bounded length.
type lineReader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

func newLineReader(r io.Reader, maxLine int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), max: maxLine}
}

// keepBuffer bounds the memory that is kept between lines.
const keepBuffer = 1 << 20

// next returns the next line without "\n" or "\r\n", valid until the next call.
// The last line needs no newline.
func (l *lineReader) next() ([]byte, error) {
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	l.buf = l.buf[:0]
	long := false
	for {
		piece, err := l.r.ReadSlice('\n')
		full := errors.Is(err, bufio.ErrBufferFull)
		if !long && len(l.buf)+len(piece) > l.max+1 {
			long, l.buf = true, nil
		}
		switch {
		case long:
		case len(l.buf) == 0 && err == nil:
			return trim(piece), nil
		default:
			l.buf = append(l.buf, piece...)
		}
		switch {
		case full:
			continue
		case long:
			return nil, ErrLineTooLong
		case err == nil, errors.Is(err, io.EOF) && len(l.buf) > 0:
			return trim(l.buf), nil
		default:
			return nil, err
		}
	}
}

func trim(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

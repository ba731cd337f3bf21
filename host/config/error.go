package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong.
type Problem struct {
	Origin
	// Key that is wrong; may be empty.
	Key string
	// Message follows the key in a sentence.
	Message string
}

// Error is a configuration that cannot be used.
type Error struct {
	// Path of the file; empty: none was read.
	Path string
	// Problems are at least one, in the order of the file.
	Problems []Problem
}

// Error is a line for each problem, as compilers write them.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.text(e.Path)
	}
	return strings.Join(lines, "\n")
}

// Mistake is something wrong with the value of a key that only others than Load can see;
// it stands where the key does, or what it belongs to.
func (c *Config) Mistake(k Key, format string, args ...any) Problem {
	return Problem{Origin: nearestOrigin(k, c.origins), Key: k.String(), Message: fmt.Sprintf(format, args...)}
}

// Mistakes are all that is wrong, in the order of the file; at least one.
func (c *Config) Mistakes(problems ...Problem) *Error {
	sortByPlace(problems)
	return &Error{Path: c.Path, Problems: problems}
}

func (p Problem) text(path string) string {
	what := p.Message
	if p.Key != "" {
		what = p.Key + " " + what
	}
	switch {
	case p.Variable != "":
		return fmt.Sprintf("%s: %s", p.Variable, what)
	case path == "":
		return what
	case p.Line == 0:
		return fmt.Sprintf("%s: %s", path, what)
	}
	return fmt.Sprintf("%s:%d:%d: %s", path, p.Line, p.Column, what)
}

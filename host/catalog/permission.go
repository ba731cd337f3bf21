package catalog

import (
	"fmt"
	"os"
	"strings"
)

// PermissionError says that somebody else could have put code where clinvk would
// run it.
type PermissionError struct {
	// Path is the file or directory at fault.
	Path string
	// Problem is one clause, for example "can be written by everybody (mode 0777)".
	Problem string
	// Remedy is the command that mends it.
	Remedy string
}

// Error tells what is wrong and what to run.
func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s %s; run: %s", e.Path, e.Problem, e.Remedy)
}

// OpenTrusted opens a file for reading and checks that nobody else could have
// written it, as is done with plugins; insecure leaves the check out.
func OpenTrusted(path string, insecure bool) (*os.File, error) {
	return openChecked(path, false, insecure)
}

// Quote makes a path safe to paste into a shell.
func Quote(path string) string {
	harmless := func(r rune) rune {
		if strings.ContainsRune("/.-_", r) || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return -1
		}
		return r
	}
	if strings.Map(harmless, path) != "" {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

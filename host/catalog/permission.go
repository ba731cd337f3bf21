package catalog

import "fmt"

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

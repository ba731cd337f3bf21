package catalog

import "fmt"

// Trust says why a plugin may run, or why not.
type Trust string

// What a plugin may be.
const (
	// TrustBundled: it came with this clinvk.
	TrustBundled Trust = "bundled"
	// TrustApproved: an operator approved these very bytes.
	TrustApproved Trust = "approved"
	// TrustRecorded: its bytes are those that were seen before; whoever may write
	// there is trusted.
	TrustRecorded Trust = "recorded"
	// TrustUnrecorded: no server has seen it yet, or the lock file cannot be used.
	TrustUnrecorded Trust = "unrecorded"
	// TrustChanged: its bytes are others than those that were recorded or approved.
	TrustChanged Trust = "changed"
	// TrustUnapproved: it is unknown where only what is approved may run.
	TrustUnapproved Trust = "unapproved"
)

// TrustError says that nobody has approved what would run.
type TrustError struct {
	// Path of the binary, or of the manifest of an interpreted plugin.
	Path string
	// SHA256 of what would run.
	SHA256 string
	// Trust is TrustChanged or TrustUnapproved.
	Trust Trust
	// Problem is one clause, for example "is not approved".
	Problem string
	// Remedy is the command that mends it.
	Remedy string
}

// Error tells what is wrong and what to run.
func (e *TrustError) Error() string {
	return fmt.Sprintf("%s %s; run: %s", e.Path, e.Problem, e.Remedy)
}

// Package await waits in tests for what other processes do.
package await

import (
	"testing"
	"time"
)

// Until waits for something that other processes do, and fails the test when it
// has not come true within the limit. ok is called often.
func Until(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never came true: %s", what)
		}
	}
}

package backendtest

import (
	"testing"
	"time"
)

// eventuallyLimit is long enough for a machine that has much else to do.
const eventuallyLimit = time.Minute

// Eventually waits for something that a CLI or a model API does, and fails the test when
// it has not come true within a minute. ok is called often.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(eventuallyLimit)
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

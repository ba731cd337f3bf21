//go:build linux

package isolation_test

import (
	"os"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"

	"github.com/clinvk/clinvk/host/hosttest"
)

func TestMain(m *testing.M) {
	hosttest.Run()
	runBare()
	runSDKPlugin()
	debug.SetGCPercent(300) // as the server does
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/host/runner.serveForks"),
		goleak.Cleanup(func(code int) {
			stopBare()
			if binaries.dir != "" {
				_ = os.RemoveAll(binaries.dir)
			}
			os.Exit(code)
		}),
	)
}

// chaos says that the long forms run.
var chaos = os.Getenv("CLINVK_CHAOS") != ""

// length is the size of a test: the short one, or the long one under make chaos.
func length(short, long int) int {
	if chaos {
		return long
	}
	return short
}

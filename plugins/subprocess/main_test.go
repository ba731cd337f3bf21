//go:build unix

package subprocess

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary plays the CLI when this variable names a part.
const envRole = "SUBPROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		play(role)
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/clinvk/clinvk/plugins/subprocess.init.func1.1"),
		goleak.IgnoreAnyFunction("github.com/clinvk/clinvk/plugins/subprocess.init.OnceValue[...].func1.1"))
}

func play(role string) {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	switch role {
	case "echo": // each line back, until stdin ends
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Print("> ", line)
		}
	case "stubborn": // ignores everything but SIGKILL
		signal.Ignore(os.Interrupt, syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour) // an empty select would be a deadlock to the runtime
	case "terminate": // ignores SIGINT only
		signal.Ignore(os.Interrupt)
		fmt.Println("ready")
		time.Sleep(time.Hour) // an empty select would be a deadlock to the runtime
	case "fail":
		fmt.Fprintln(os.Stderr, "the key sk-abcdefgh12345678 and topsecret are wrong")
		os.Exit(3)
	case "daemon": // a grandchild in a session of its own that holds stdout and stderr
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envRole+"=stubborn")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = newSession()
		if err := cmd.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(cmd.Process.Pid)
		_, _ = in.ReadString('\n')
	case "long":
		fmt.Println(strings.Repeat("x", 3000))
		fmt.Println("short")
		fmt.Print("no newline")
	}
}

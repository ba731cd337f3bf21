//go:build unix

// Command bench measures clinvk against baselines that run beside it, in one run
// on one machine, and prints the tables of docs/benchmarks.md. Only loopback is
// used: the real AI CLIs talk to fake model APIs. Absolute times depend on the
// machine; the ratios are what is claimed.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/clinvk/clinvk/test/harness"
)

func main() {
	rounds := flag.Int("rounds", 7, "measured rounds of each first-token figure")
	length := flag.Duration("duration", 3*time.Second, "time of each figure of the dialects' throughput")
	only := flag.String("only", "", "measure only this: firsttoken, driven, echo, health, command, warm, sessions or dialects")
	flag.Parse()
	if err := run(*rounds, *length, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, length time.Duration, only string) error {
	bin, err := os.MkdirTemp("", "clinvk-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if err := harness.Build(bin); err != nil {
		return err
	}
	fmt.Printf("%s/%s, %d CPUs, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	if only == "" || only == "firsttoken" {
		if err := firstToken(bin, w, rounds); err != nil {
			return err
		}
	}
	if only == "" || only == "driven" {
		if err := drivenRows(w); err != nil {
			return err
		}
	}
	if only == "" || only == "echo" {
		if err := echo(bin); err != nil {
			return err
		}
	}
	if only == "" || only == "health" {
		if err := health(bin); err != nil {
			return err
		}
	}
	if only == "" || only == "command" {
		if err := command(bin); err != nil {
			return err
		}
	}
	if only == "" || only == "warm" {
		if err := warm(bin, w, rounds); err != nil {
			return err
		}
	}
	if only == "" || only == "sessions" {
		if err := sessions(bin); err != nil {
			return err
		}
	}
	if only == "" || only == "dialects" {
		return dialects(bin, length)
	}
	return nil
}

// median of some durations.
func median(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(ds))
	return s[len(s)/2]
}

// quantile of some durations, q between 0 and 1.
func quantile(ds []time.Duration, q float64) time.Duration {
	s := slices.Sorted(slices.Values(ds))
	return s[int(q*float64(len(s)-1))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

//go:build unix

package runner

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// janitorScript cleans up after a host that was killed. Its stdin ends with the
// host; a line there says that the host has cleaned up itself. It is a shell and
// not a second clinvk because it must cost nothing (1 MB) and any program may be
// the host. It looks again when it has found nothing: a process that executes another
// program has no environment for a moment. Where there is no /proc the next host ends
// the descendants.
const janitorScript = `read -r _ && exit 0
nothing=0
for round in 1 2 3 4 5 6; do
	found=$(grep -ls "CLINVK_INSTANCE=$1-" /proc/[0-9]*/environ)
	if [ -z "$found" ]; then
		[ $nothing = 1 ] && break
		nothing=1
		sleep 0.1
		continue
	fi
	for f in $found; do
		p=${f#/proc/}
		kill -9 "${p%/environ}"
	done
done 2>/dev/null
rm -rf -- "$2"`

// janitor is the process that does it.
type janitor struct {
	cmd   *exec.Cmd
	guard *os.File
}

// newJanitor starts one for a directory. Without a shell there is none, and the
// next host does the work.
func newJanitor(dir string) (*janitor, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting the janitor: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", janitorScript, "clinvk-janitor", HostID(), dir) //nolint:noctx // it outlives every call
	cmd.Stdin, cmd.Dir, cmd.Env = r, "/", []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C is not for it
	if err := cmd.Start(); err != nil {
		_ = w.Close() // nobody reads it
		return nil, fmt.Errorf("starting the janitor: %w", err)
	}
	return &janitor{cmd: cmd, guard: w}, nil
}

// dismiss ends the janitor; there is nothing to clean up.
func (j *janitor) dismiss() {
	if j == nil {
		return
	}
	_, _ = j.guard.WriteString("done\n") // when it is gone already it needs no word
	_ = j.guard.Close()
	_ = j.cmd.Wait()
}

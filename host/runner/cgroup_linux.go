package runner

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where cgroup v2 is mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupPrefix begins the names of the groups that hosts make.
const cgroupPrefix = "clinvk-"

// How far the kernel's walls are behind those that are watched: they are for what
// grows too fast to be watched, and know neither turns nor reasons.
const (
	memoryMargin = 1.5
	// tasksPerProcess: the kernel counts threads, of which a CLI has a dozen.
	tasksPerProcess = 32
)

// cgroups is the part of the cgroup v2 tree that this host may divide. It has one
// group for the host itself, because groups with processes cannot be divided, and
// one for each plugin process with all that it starts.
type cgroups struct{ dir string }

// ownCgroups is what was delegated to this host; nil: nothing, as on most machines.
var ownCgroups = sync.OnceValue(func() *cgroups {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	c, err := newCgroups(cgroupRoot, string(self), os.Getpid())
	if err != nil {
		return nil // all is watched and swept without them
	}
	return c
})

// errNotDelegated says that the host's group is somebody else's to divide.
var errNotDelegated = errors.New("no cgroup was delegated to this process")

// newCgroups takes over the group that self, a /proc/PID/cgroup, names below root,
// when it was delegated and pid is alone in it. What dead hosts left is removed.
func newCgroups(root, self string, pid int) (*cgroups, error) {
	_, path, ok := strings.Cut("\n"+self, "\n0::")
	if !ok {
		return nil, errNotDelegated
	}
	path, _, _ = strings.Cut(path, "\n")
	c := &cgroups{dir: filepath.Join(root, path)}
	if !delegated(c.dir, path) {
		return nil, errNotDelegated
	}
	c.sweep()
	procs, err := os.ReadFile(filepath.Join(c.dir, "cgroup.procs")) //nolint:gosec // the kernel says where it is
	if err != nil {
		return nil, fmt.Errorf("reading the own cgroup: %w", err)
	}
	if strings.TrimSpace(string(procs)) != strconv.Itoa(pid) {
		return nil, errNotDelegated // others live here, and would have to move
	}
	home := c.path(HostID())
	if err := os.Mkdir(home, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("making the host's cgroup: %w", err)
	}
	if err := write(home, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return nil, err
	}
	// Without the controllers a group still ends all its processes at once.
	_ = write(c.dir, "cgroup.subtree_control", "+memory +pids")
	return c, nil
}

// delegated says that a group is ours to divide: systemd has marked it so, or it is
// the root of a container's own namespace. That it can be written to is not enough,
// root can write everywhere.
func delegated(dir, path string) bool {
	if unix.Access(dir, unix.W_OK) != nil {
		return false
	}
	var value [1]byte
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, name, value[:]); err == nil && n == 1 && value[0] == '1' {
			return true
		}
	}
	// The root of the machine has no type, the root of a namespace has.
	_, err := os.Stat(filepath.Join(dir, "cgroup.type")) //nolint:gosec // the kernel says where it is
	return path == "/" && err == nil
}

func (c *cgroups) path(name string) string { return filepath.Join(c.dir, cgroupPrefix+name) }

// sweep ends and removes the groups of dead hosts.
func (c *cgroups) sweep() {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), cgroupPrefix)
		if !ok || !e.IsDir() {
			continue
		}
		host, ok := hostOf(name)
		if hostDead(name) || ok && hostDead(host) {
			l := &leaf{dir: c.path(name)}
			l.kill()
			l.remove()
		}
	}
}

// leaf is the group of one plugin process; nil: there is none.
type leaf struct{ dir string }

// leaf makes a group with walls behind the given ones; 0: none. It returns nil when
// that cannot be done.
func (c *cgroups) leaf(instance string, memory int64, processes int) *leaf {
	if c == nil {
		return nil
	}
	l := &leaf{dir: c.path(instance)}
	if os.Mkdir(l.dir, 0o755) != nil {
		return nil
	}
	l.wall(memory, processes)
	return l
}

// wall sets the kernel's limits behind the watched ones. An error means that the
// controller is not on.
func (l *leaf) wall(memory int64, processes int) {
	if memory > 0 {
		_ = write(l.dir, "memory.max", strconv.FormatInt(int64(min(float64(memory)*memoryMargin, math.MaxInt64/2)), 10))
	}
	if processes > 0 {
		_ = write(l.dir, "pids.max", strconv.Itoa(processes*tasksPerProcess))
	}
}

// enter makes a process be started in the group. The file is closed after the start.
func (l *leaf) enter(attr *unix.SysProcAttr) (*os.File, error) {
	f, err := os.Open(l.dir)
	if err != nil {
		return nil, err
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	return f, nil
}

// kill ends all processes of the group at once, whatever they have become.
func (l *leaf) kill() {
	if l != nil {
		_ = write(l.dir, "cgroup.kill", "1") // Linux 5.14; before, the sweep finds what it can
	}
}

// removeTime bounds the wait for killed processes to leave a group.
const removeTime = 200 * time.Millisecond

// remove removes the group. One that does not get empty is the next host's.
func (l *leaf) remove() {
	if l == nil {
		return
	}
	for deadline := time.Now().Add(removeTime); ; time.Sleep(2 * time.Millisecond) {
		if err := unix.Rmdir(l.dir); !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return
		}
	}
}

// write writes to a file of a group; it does not make one.
func write(dir, name, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0) //nolint:gosec // a group of ours
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// cgroupMemory is the lowest limit on memory of the groups that self, a
// /proc/PID/cgroup, names; 0: none is known. root is /sys/fs/cgroup.
func cgroupMemory(root, self string) int64 {
	var lowest int64
	for line := range strings.Lines(self) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		dir, file := root, "memory.max"
		switch {
		case controllers == "memory":
			dir, file = filepath.Join(root, "memory"), "memory.limit_in_bytes"
		case controllers != "":
			continue
		}
		// In a container the path may be one of the machine, which is not seen there.
		for p := filepath.Clean("/" + path); ; p = filepath.Dir(p) {
			text, err := os.ReadFile(filepath.Join(dir, p, file))
			if n, parseErr := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil && parseErr == nil && n > 0 && (lowest == 0 || n < lowest) {
				lowest = n // "max" is no number
			}
			if p == "/" {
				break
			}
		}
	}
	return lowest
}

// prepareGroups takes over the host's cgroup, once.
func prepareGroups() { ownCgroups() }

package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const self = "0::/\n"

// fakeGroup is the directory of a cgroup with these files.
func fakeGroup(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// delegatedRoot is the root of a namespace in which this process is alone. The
// groups' own files, which the kernel would make, are made beforehand.
func delegatedRoot(t testing.TB, procs string) string {
	t.Helper()
	root := t.TempDir()
	fakeGroup(t, root, map[string]string{"cgroup.type": "domain\n", "cgroup.procs": procs, "cgroup.subtree_control": ""})
	return root
}

func content(t testing.TB, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCgroupsTakeOver(t *testing.T) {
	root := delegatedRoot(t, "42\n")
	home := filepath.Join(root, cgroupPrefix+HostID())
	fakeGroup(t, home, map[string]string{"cgroup.procs": ""})
	if _, err := newCgroups(root, "5:memory:/x\n"+self, 42); err != nil {
		t.Fatal(err)
	}
	if got := content(t, home, "cgroup.procs"); got != "42" {
		t.Errorf("the host's group got %q", got)
	}
	if got := content(t, root, "cgroup.subtree_control"); got != "+memory +pids" {
		t.Errorf("controllers: %q", got)
	}
}

func TestCgroupsAreNotTaken(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T) (root, self string)
	}{
		{"only version 1", func(t *testing.T) (string, string) { return delegatedRoot(t, "42\n"), "5:memory:/\n" }},
		{"the root of the machine", func(t *testing.T) (string, string) {
			root := delegatedRoot(t, "42\n")
			if err := os.Remove(filepath.Join(root, "cgroup.type")); err != nil {
				t.Fatal(err)
			}
			return root, self
		}},
		{"others live there", func(t *testing.T) (string, string) { return delegatedRoot(t, "7\n42\n"), self }},
		{"somebody else's", func(t *testing.T) (string, string) {
			root := t.TempDir()
			fakeGroup(t, filepath.Join(root, "app"), map[string]string{"cgroup.type": "domain\n", "cgroup.procs": "42\n"})
			return root, "0::/app\n"
		}},
		{"not there", func(t *testing.T) (string, string) { return filepath.Join(t.TempDir(), "none"), self }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, self := tt.make(t)
			if c, err := newCgroups(root, self, 42); !errors.Is(err, errNotDelegated) {
				t.Fatalf("%+v, %v", c, err)
			}
			if found, err := filepath.Glob(filepath.Join(root, "*", cgroupPrefix+"*")); err != nil || len(found) > 0 {
				t.Errorf("made: %v, %v", found, err)
			}
		})
	}
}

func TestDelegatedByMark(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Setxattr(dir, "user.delegate", []byte("1"), 0); err != nil {
		t.Skipf("this file system keeps no attributes: %v", err)
	}
	if !delegated(dir, "/user.slice/app") {
		t.Error("the mark is not seen")
	}
	if err := unix.Setxattr(dir, "user.delegate", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if delegated(dir, "/user.slice/app") {
		t.Error("taken without a mark")
	}
}

func TestLeaf(t *testing.T) {
	c := &cgroups{dir: t.TempDir()}
	l := c.leaf("i", 0, 0)
	if l == nil {
		t.Fatal("no group")
	}
	var attr unix.SysProcAttr
	f, err := l.enter(&attr)
	if err != nil || !attr.UseCgroupFD || attr.CgroupFD != int(f.Fd()) {
		t.Fatalf("%+v, %v", attr, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if again := c.leaf("i", 0, 0); again != nil {
		t.Error("a group was shared")
	}
	l.remove()
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("not removed: %v", err)
	}
	var none *cgroups // where nothing was delegated
	l = none.leaf("i", 1, 1)
	l.kill()
	l.remove()
}

// TestLeafWalls shows what is written. The files are there before the group is made
// only because this is no kernel: a directory of that name stands in for it.
func TestLeafWalls(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "leaf")
	fakeGroup(t, dir, map[string]string{"memory.max": "", "pids.max": "", "cgroup.kill": ""})
	l := &leaf{dir: dir}
	l.wall(1000<<20, 10)
	l.kill()
	want := map[string]string{
		"memory.max": strconv.FormatInt(1500<<20, 10), "pids.max": "320", "cgroup.kill": "1",
	}
	for name, text := range want {
		if got := content(t, dir, name); got != text {
			t.Errorf("%s: %q, want %q", name, got, text)
		}
	}
}

// TestSweepGroups shows that the groups of dead hosts go and no others.
func TestSweepGroups(t *testing.T) {
	root := delegatedRoot(t, "42\n")
	dead := base36(1<<30) + "-" + base36(1) + "-" + world()
	names := map[string]bool{ // and whether they stay
		cgroupPrefix + dead: false, cgroupPrefix + dead + "-1": false,
		cgroupPrefix + HostID() + "-zz": true, cgroupPrefix + "x": true, dead: true,
	}
	for name := range names {
		fakeGroup(t, filepath.Join(root, name), nil)
	}
	(&cgroups{dir: root}).sweep()
	for name, stays := range names {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != stays {
			t.Errorf("%s: %v", strings.ReplaceAll(name, dead, "DEAD"), err)
		}
	}
}

func TestCgroupMemory(t *testing.T) {
	for _, tt := range []struct {
		name, self string
		files      map[string]string
		want       int64
	}{
		{"none", "0::/a\n", nil, 0},
		{"version 2", "0::/a/b\n", map[string]string{"a/b/memory.max": "max\n", "a/memory.max": "7000\n", "memory.max": "9000\n"}, 7000},
		{"version 2 in a namespace", "0::/\n", map[string]string{"memory.max": "9000\n"}, 9000},
		{"version 1", "9:cpu:/x\n4:memory:/a\n0::/\n", map[string]string{
			"memory/a/memory.limit_in_bytes": "5000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 5000},
		{"version 1 in a container", "4:memory:/docker/abc\n", map[string]string{"memory/memory.limit_in_bytes": "6000\n"}, 6000},
		{"rubbish", "\n::\nx\n0::/a\n", map[string]string{"a/memory.max": "-5\n", "memory.max": "many\n"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range tt.files {
				path := filepath.Join(root, name)
				fakeGroup(t, filepath.Dir(path), map[string]string{filepath.Base(path): text})
			}
			if got := cgroupMemory(root, tt.self); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
